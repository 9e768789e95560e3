; Installer for Windows, per user and without administrator rights. build_installer.py compiles it.
; The uninstaller removes what the installer wrote, file by file, and leaves the installation directory of the connector
; (settings, credentials, logs) unless the person ticks it.

Unicode true
!include "MUI2.nsh"
!include "LogicLib.nsh"
!include "FileFunc.nsh"

!ifndef VERSION
	!error "VERSION is missing: -DVERSION=0.1.0"
!endif
!ifndef PAYLOAD
	!error "PAYLOAD is missing: -DPAYLOAD=dist\edge-connector"
!endif
!ifndef OUTPUT
	!error "OUTPUT is missing: -DOUTPUT=setup.exe"
!endif
!ifndef FILES
	!error "FILES is missing: the list that build_installer.py writes"
!endif

!define NAME "Edge Connector"
!define KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\EdgeConnector"
!define RUN "Software\Microsoft\Windows\CurrentVersion\Run"

Name "${NAME}"
OutFile "${OUTPUT}"
InstallDir "$LOCALAPPDATA\Programs\Edge Connector"
InstallDirRegKey HKCU "${KEY}" "InstallLocation"
RequestExecutionLevel user
SetCompressor /SOLID lzma
VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "${NAME}"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "FileDescription" "${NAME} installer"
VIAddVersionKey "LegalCopyright" "The Edge Connector authors, Apache-2.0"

!define MUI_ABORTWARNING
!insertmacro MUI_PAGE_LICENSE "${PAYLOAD}/_internal/LICENSE"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN "$INSTDIR\edge-connector-desktop.exe"
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_COMPONENTS
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"
!insertmacro MUI_LANGUAGE "German"

LangString RUNNING ${LANG_ENGLISH} "Edge Connector is running. Quit it from its icon, then try again."
LangString RUNNING ${LANG_GERMAN} "Edge Connector läuft. Beenden Sie es über sein Symbol und versuchen Sie es erneut."

; A running program keeps its file open for writing by others: trying that is the proof, and it needs no tool.
!macro STOP_WHILE_RUNNING UN
Function ${UN}StopWhileRunning
	again:
	${If} ${FileExists} "$INSTDIR\edge-connector-desktop.exe"
		ClearErrors
		FileOpen $0 "$INSTDIR\edge-connector-desktop.exe" a
		${If} ${Errors}
			MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION "$(RUNNING)" /SD IDCANCEL IDRETRY again
			Abort
		${EndIf}
		FileClose $0
	${EndIf}
FunctionEnd
!macroend
!insertmacro STOP_WHILE_RUNNING ""
!insertmacro STOP_WHILE_RUNNING "un."

Section "-install"
	Call StopWhileRunning
	; An older version's files go by its own list, so that none is left beside the new ones.
	${If} ${FileExists} "$INSTDIR\uninstall.exe"
		ExecWait '"$INSTDIR\uninstall.exe" /S /UPGRADE _?=$INSTDIR'
	${EndIf}
	SetOutPath "$INSTDIR"
	File /r "${PAYLOAD}/*.*"
	WriteUninstaller "$INSTDIR\uninstall.exe"
	CreateShortcut "$SMPROGRAMS\${NAME}.lnk" "$INSTDIR\edge-connector-desktop.exe"
	WriteRegStr HKCU "${KEY}" "DisplayName" "${NAME}"
	WriteRegStr HKCU "${KEY}" "DisplayVersion" "${VERSION}"
	WriteRegStr HKCU "${KEY}" "DisplayIcon" "$INSTDIR\edge-connector-desktop.exe"
	WriteRegStr HKCU "${KEY}" "Publisher" "The Edge Connector authors"
	WriteRegStr HKCU "${KEY}" "InstallLocation" "$INSTDIR"
	WriteRegStr HKCU "${KEY}" "UninstallString" '"$INSTDIR\uninstall.exe"'
	WriteRegStr HKCU "${KEY}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
	WriteRegDWORD HKCU "${KEY}" "NoModify" 1
	WriteRegDWORD HKCU "${KEY}" "NoRepair" 1
	${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
	IntFmt $0 "0x%08X" $0
	WriteRegDWORD HKCU "${KEY}" "EstimatedSize" "$0"
SectionEnd

Section "un.Program" UN_PROGRAM
	SectionIn RO
	Call un.StopWhileRunning
	; Autostart entries of this program; their names are made by `edge-connector autostart enable`. An upgrade keeps them.
	${GetParameters} $3
	ClearErrors
	${GetOptions} "$3" "/UPGRADE" $4
	${IfNot} ${Errors}
		Goto done
	${EndIf}
	StrCpy $0 0
	next:
		EnumRegValue $1 HKCU "${RUN}" $0
		StrCmp $1 "" done
		StrCpy $2 $1 15
		${If} $2 == "edge-connector-"
			DeleteRegValue HKCU "${RUN}" "$1"
		${Else}
			IntOp $0 $0 + 1
		${EndIf}
		Goto next
	done:
	!include "${FILES}"
	Delete "$INSTDIR\uninstall.exe"
	RMDir "$INSTDIR"
	Delete "$SMPROGRAMS\${NAME}.lnk"
	DeleteRegKey HKCU "${KEY}"
SectionEnd

Section /o "un.Settings, credentials and logs of the default directory" UN_DATA
	RMDir /r "$LOCALAPPDATA\edge-connector"
SectionEnd
