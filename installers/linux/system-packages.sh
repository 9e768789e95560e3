#!/bin/sh
# Makes sure that the Debian packages of one purpose are there: installs them as root, else names them in one line.
# usage: system-packages.sh base|tests|bench|packages
set -eu

python=${PYTHON:-python3}
missing=""

need() { # need PACKAGE COMMAND...: the package is missing when the command fails
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

case ${1:-base} in
base)
	need python3 sh -c "command -v $python"
	need python3-venv "$python" -c 'import ensurepip, venv'
	;;
tests)
	need curl sh -c 'command -v curl'
	need git sh -c 'command -v git'
	need iproute2 sh -c 'command -v ip'
	for pair in xvfb:Xvfb openbox:openbox trayer:trayer xdotool:xdotool imagemagick:convert x11-utils:xprop \
		dbus-daemon:dbus-daemon gnome-keyring:gnome-keyring-daemon dbus-bin:dbus-send xfce4-panel:xfce4-panel xfconf:xfconf-query \
		desktop-file-utils:desktop-file-validate systemd:systemd-analyze libplist-utils:plistutil nsis:makensis \
		xinit:xinit chromium:chromium x11-session-utils:xsm x11-xserver-utils:iceauth; do
		need "${pair%%:*}" sh -c "command -v ${pair##*:}"
	done
	for package in libgl1 libegl1 libglib2.0-0 libfontconfig1 libxkbcommon0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 \
		libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0 fonts-dejavu-core python3-gi \
		gir1.2-ayatanaappindicator3-0.1 gir1.2-gtk-3.0; do
		need "$package" dpkg-query -W -f '${Status}' "$package"
	done
	;;
bench)
	need openssh-server test -x /usr/sbin/sshd
	need openssh-client sh -c 'command -v ssh && command -v ssh-keygen'
	;;
packages)
	for pair in debootstrap:debootstrap appstream:appstreamcli binutils:objdump; do
		need "${pair%%:*}" sh -c "command -v ${pair##*:}"
	done
	;;
*)
	echo "usage: $0 base|tests|bench|packages" >&2
	exit 2
	;;
esac

[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing system packages:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
	echo "missing system packages, install them first: apt-get install$missing" >&2
	exit 1
fi
