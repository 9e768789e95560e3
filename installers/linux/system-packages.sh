#!/bin/sh
# Makes sure that the Debian packages of one purpose are there: installs them as root, else names them in one line.
# usage: system-packages.sh base|tests
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
	need git sh -c 'command -v git'
	need iproute2 sh -c 'command -v ip'
	;;
*)
	echo "usage: $0 base|tests" >&2
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
