"""The words of the status window, English beside German; `words` joins them to the catalogue."""

from __future__ import annotations

WINDOW_WORDS: dict[str, tuple[str, str]] = {
    "window.title": ("Edge Connector", "Edge Connector"),
    "window.overview": ("Overview", "Übersicht"),
    "window.tools": ("Tools", "Werkzeuge"),
    "window.settings": ("Settings", "Einstellungen"),
    "window.diagnostics": ("Diagnostics", "Diagnose"),
    "window.pages": ("Pages", "Seiten"),
    "window.start_again": ("Start again", "Neu starten"),
    "window.pause_1h": ("Pause for 1 hour", "1 Stunde pausieren"),
    "window.pause": ("Pause", "Pausieren"),
    "window.resume": ("Resume", "Fortsetzen"),
    "window.copied": ("Copied.", "Kopiert."),
    "window.copy": ("Copy", "Kopieren"),
    "window.error": ("{message} {hint}", "{message} {hint}"),
    "window.port_moved": (
        "Port {taken} is taken by another program, so the health server listens on {port}.",
        "Port {taken} ist von einem anderen Programm belegt; die Zustandsabfrage lauscht auf {port}.",
    ),
    "overview.activity": ("Last hour", "Letzte Stunde"),
    "overview.identity": ("Identity", "Identität"),
    "overview.problems": ("Problems", "Probleme"),
    "overview.since": ("since {age}", "seit {age}"),
    "overview.latency": ("Latency p50 and p99", "Latenz p50 und p99"),
    "tools.filter": ("Filter tools", "Werkzeuge filtern"),
    "tools.name": ("Tool", "Werkzeug"),
    "tools.title": ("Title", "Titel"),
    "tools.source": ("Source", "Quelle"),
    "tools.risk": ("Risk", "Risiko"),
    "tools.list": ("Tools offered now", "Jetzt angebotene Werkzeuge"),
    "tools.none": ("No tool fits the filter.", "Kein Werkzeug passt zum Filter."),
    "tools.empty": (
        (
            "The tools of this connector appear here once it runs. Local tools lie in the folder that "
            "implementationsPath names."
        ),
        (
            "Hier erscheinen die Werkzeuge dieses Connectors, sobald er läuft. Eigene Werkzeuge liegen in "
            "dem Ordner, den implementationsPath nennt."
        ),
    ),
    "tools.choose": (
        "Choose a tool to see its schema, its last calls and to try it.",
        "Wählen Sie ein Werkzeug, um sein Schema und die letzten Aufrufe zu sehen und es auszuprobieren.",
    ),
    "tools.try": ("Try it", "Ausprobieren"),
    "tools.schema": ("Schema", "Schema"),
    "tools.calls": ("Last calls", "Letzte Aufrufe"),
    "tools.no_calls": ("No calls of this tool since the start.", "Kein Aufruf dieses Werkzeugs seit dem Start."),
    "tools.run": ("Run", "Ausführen"),
    "tools.running": ("Running…", "Läuft…"),
    "tools.no_arguments": ("This tool takes no arguments.", "Dieses Werkzeug nimmt keine Argumente."),
    "tools.result": ("Result", "Ergebnis"),
    "tools.outcome": ("{outcome} in {ms} ms", "{outcome} in {ms} ms"),
    "tools.copy_result": ("Copy result", "Ergebnis kopieren"),
    "tools.copy_schema": ("Copy schema", "Schema kopieren"),
    "tools.when": ("Started", "Begonnen"),
    "tools.outcome_column": ("Outcome", "Ausgang"),
    "tools.duration": ("Duration", "Dauer"),
    "tools.asked_by": ("Asked by", "Gefragt von"),
    "tools.asked_here": ("this machine", "diesem Rechner"),
    "tools.writes": (
        "This tool may change something ({risk}). Running it here has its real effect.",
        "Dieses Werkzeug kann etwas ändern ({risk}). Hier ausgeführt wirkt es wirklich.",
    ),
    "form.required": ("required", "Pflicht"),
    "form.unset": ("not given", "nicht angegeben"),
    "form.yes": ("yes", "ja"),
    "form.no": ("no", "nein"),
    "form.missing": ("{field} is required.", "{field} muss angegeben werden."),
    "form.not_json": (
        "{field} is not valid JSON: line {line}, column {column}.",
        "{field} ist kein gültiges JSON: Zeile {line}, Spalte {column}.",
    ),
    "form.not_list": ("{field} must be a JSON list, in [ and ].", "{field} muss eine JSON-Liste sein, in [ und ]."),
    "form.not_object": (
        "{field} must be a JSON object, in braces.",
        "{field} muss ein JSON-Objekt sein, in geschweiften Klammern.",
    ),
    "form.not_integer": ("{field} must be a whole number.", "{field} muss eine ganze Zahl sein."),
    "form.not_number": ("{field} must be a number.", "{field} muss eine Zahl sein."),
    "form.too_small": ("{field} must be at least {limit}.", "{field} muss mindestens {limit} sein."),
    "form.too_large": ("{field} must be at most {limit}.", "{field} darf höchstens {limit} sein."),
    "form.too_short": (
        "{field} must have at least {limit} characters.",
        "{field} muss mindestens {limit} Zeichen haben.",
    ),
    "form.too_long": (
        "{field} must have at most {limit} characters.",
        "{field} darf höchstens {limit} Zeichen haben.",
    ),
    "form.arguments": ("Arguments", "Argumente"),
    "settings.language": ("Language", "Sprache"),
    "settings.language_note": ("Applies at once.", "Gilt sofort."),
    "settings.autostart": ("Start with the session", "Mit der Sitzung starten"),
    "settings.autostart_asking": ("Looking…", "Wird geprüft…"),
    "settings.connector": ("Connector", "Connector"),
    "settings.window": ("This window", "Dieses Fenster"),
    "settings.health_host": ("Health address", "Adresse der Zustandsabfrage"),
    "settings.health_port": ("Health port", "Port der Zustandsabfrage"),
    "settings.concurrency": ("Calls at the same time", "Aufrufe zur gleichen Zeit"),
    "settings.apply": ("Apply", "Übernehmen"),
    "settings.undo": ("Undo", "Rückgängig"),
    "settings.from": ("from {origin}", "aus {origin}"),
    "settings.origin_default": ("default", "Vorgabe"),
    "settings.origin_environment": ("environment {name}", "Umgebung {name}"),
    "settings.all": ("Where every value comes from", "Woher jeder Wert kommt"),
    "settings.key": ("Setting", "Einstellung"),
    "settings.value": ("Value", "Wert"),
    "settings.origin": ("Comes from", "Kommt aus"),
    "settings.help": ("Meaning", "Bedeutung"),
    "settings.not_running": (
        "Settings can be changed while the connector runs.",
        "Einstellungen lassen sich ändern, während der Connector läuft.",
    ),
    "settings.next_start": (
        "Saved. It counts from the next start of the connector.",
        "Gespeichert. Es gilt ab dem nächsten Start des Connectors.",
    ),
    "settings.opens": (
        (
            "Every device that can reach {address} will be able to read the state, the tools' names and the "
            "problems of this connector. It needs no password. Nothing can be changed through it."
        ),
        (
            "Jedes Gerät, das {address} erreicht, wird den Zustand, die Namen der Werkzeuge und die Probleme "
            "dieses Connectors lesen können. Es braucht dafür kein Passwort. Ändern lässt sich darüber "
            "nichts."
        ),
    ),
    "settings.opens_all": (
        "all addresses of this machine ({addresses})",
        "alle Adressen dieses Rechners ({addresses})",
    ),
    "settings.understood": ("Open it to the network", "Für das Netz öffnen"),
    "settings.closed": (
        "Only programs on this machine can read it.",
        "Nur Programme auf diesem Rechner können sie lesen.",
    ),
    "diagnostics.log": ("Log", "Protokoll"),
    "diagnostics.follow": ("Follow", "Mitlaufen"),
    "diagnostics.filter": ("Filter lines", "Zeilen filtern"),
    "diagnostics.open_folder": ("Open folder", "Ordner öffnen"),
    "diagnostics.copy_report": ("Copy report", "Bericht kopieren"),
    "diagnostics.no_log": (
        "Lines appear here once the connector writes its log at {path}.",
        "Zeilen erscheinen hier, sobald der Connector sein Protokoll in {path} schreibt.",
    ),
    "diagnostics.report_copied": (
        "The report is copied: status and versions, without secrets.",
        "Der Bericht ist kopiert: Zustand und Versionen, ohne Geheimnisse.",
    ),
    "diagnostics.no_folder": (
        "The folder {path} cannot be opened here.",
        "Der Ordner {path} lässt sich hier nicht öffnen.",
    ),
}
