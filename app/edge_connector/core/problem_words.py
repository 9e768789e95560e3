"""The sentences and cures of problems in the other languages. English ones are in `core.problems`, with the problems.

A status document carries the English sentence with its words filled in; the words are found again by its template.
Details that come from the system, the network or a tool stay as they were said.
"""

from __future__ import annotations

import re
import string
from functools import cache

from edge_connector.core.problems import KINDS

PROBLEM_WORDS: dict[str, dict[str, tuple[str, str]]] = {
    "de": {
        "platform_unreachable": (
            "Der Plattformserver unter {url} ist nicht erreichbar: {detail}.",
            "Starten Sie die Plattform oder prüfen Sie TOOL_RPC_URL und das Netz; der Connector versucht es weiter.",
        ),
        "host_not_found": (
            "Der Rechnername in {url} lässt sich nicht auflösen: {detail}.",
            "Prüfen Sie den Namen in TOOL_RPC_URL und das DNS dieses Rechners; der Connector versucht es weiter.",
        ),
        "no_route": (
            "Von diesem Rechner führt kein Weg zu {url}: {detail}.",
            "Verbinden Sie ihn mit seinem Netz oder VPN; der Connector wählt, sobald es einen Weg gibt.",
        ),
        "no_answer": (
            "Unter {url} antwortet niemand: {detail}.",
            "Prüfen Sie Rechner und Port in TOOL_RPC_URL, und dass keine Firewall den Weg nach draußen sperrt.",
        ),
        "proxy_refused": (
            "Der Proxy auf dem Weg zu {url} hat die Verbindung abgelehnt: {detail}.",
            "Prüfen Sie HTTPS_PROXY und NO_PROXY, und ob der Proxy WebSocket-Upgrades erlaubt.",
        ),
        "tls_failed": (
            "Dem Zertifikat von {url} wird nicht vertraut: {detail}.",
            "Setzen Sie EC_CA_FILE auf die Stelle, die es ausgestellt hat, und prüfen Sie die Uhr dieses Rechners.",
        ),
        "not_a_platform": (
            "{url} hat geantwortet, ist aber keine Plattform des Edge Connectors: {detail}.",
            "Richten Sie TOOL_RPC_URL auf den Tool-RPC-Port der Plattform (3001, wenn er nicht geändert wurde).",
        ),
        "version_unsupported": (
            "Die Plattform spricht eine andere Version des Protokolls: {detail}.",
            "Aktualisieren Sie Connector oder Plattform, damit beide dieselbe Version sprechen.",
        ),
        "credentials_refused": (
            "Die Prüfung der Zugangsdaten ist fehlgeschlagen: die Plattform hat sie abgelehnt ({detail}).",
            "Prüfen Sie DEPLOYMENT_ID und DEPLOYMENT_SECRET, und ob es das Deployment in der Verwaltung gibt.",
        ),
        "forbidden": (
            "Die Plattform lässt diese Zugangsdaten hier nicht zu: {detail}.",
            "Fragen Sie einen Verwalter der Organisation.",
        ),
        "deployment_gone": (
            "Das Deployment wurde auf der Plattform gelöscht.",
            "Legen Sie ein Deployment an und setzen Sie dessen DEPLOYMENT_ID und DEPLOYMENT_SECRET.",
        ),
        "credentials_revoked": (
            "Die Zugangsdaten wurden auf der Plattform widerrufen ({detail}).",
            "Setzen Sie das neue DEPLOYMENT_SECRET, oder melden Sie sich neu an.",
        ),
        "deployment_already_connected": (
            "{detail}.",
            "Halten Sie den anderen an, nehmen Sie ein anderes Deployment, oder `edge-connector run --take-over`.",
        ),
        "taken_over": (
            "Eine andere Installation hat dieses Deployment übernommen ({detail}).",
            "Geben Sie jeder Installation ihr eigenes Deployment.",
        ),
        "replaced": (
            "Ein anderer Prozess mit der Kennung dieser Installation hat sich verbunden ({detail}).",
            "Wurde der Ordner kopiert? Löschen Sie instance.json darin und geben Sie ihr ein eigenes Deployment.",
        ),
        "protocol_broken": (
            "Plattform und Connector verstehen einander nicht: {detail}.",
            "Bringen Sie beide auf denselben Stand; der Connector versucht es weiter.",
        ),
        "platform_silent": (
            "Die Plattform antwortet nicht mehr: {detail}.",
            "Prüfen Sie das Netz zwischen hier und der Plattform; der Connector versucht es weiter.",
        ),
        "disconnected": (
            "Die Verbindung zum Plattformserver ist getrennt: {detail}.",
            "Nichts zu tun: der Connector wählt von selbst wieder.",
        ),
        "internal_error": (
            "Im Connector ist ein Fehler aufgetreten: {detail}.",
            "Melden Sie ihn mit der Fehlerspur aus dem Protokoll; der Connector versucht es weiter.",
        ),
        "not_proven": (
            "Seit {detail} ist kein Aufruf durchgekommen.",
            "Sehen Sie mit `edge-connector status` nach; der Connector wählt von selbst wieder.",
        ),
        "tools_not_proven": (
            "Die Verbindung zur Plattform steht, aber seit {detail} hat kein Werkzeug eine Probe beantwortet.",
            "Sehen Sie im Protokoll nach; beenden Sie, was die Werkzeuge aufhält, oder starten Sie den Connector neu.",
        ),
        "local_proof_only": (
            "Die Plattform beantwortet keine Proben; bewiesen ist nur die Hälfte des Weges auf diesem Rechner.",
            "Aktualisieren Sie die Plattform.",
        ),
        "tool_problem": (
            "{detail}",
            "Bringen Sie das Werkzeug in Ordnung und starten Sie den Connector neu; die anderen arbeiten weiter.",
        ),
        "tools_rejected": (
            "Die Plattform hat einige Werkzeuge nicht angenommen: {detail}.",
            "Benennen Sie sie um oder bringen Sie sie in Ordnung; die anderen arbeiten weiter.",
        ),
        "workers_unavailable": (
            "Es kann kein Prozess für Werkzeuge gestartet werden: {detail}.",
            "Der Grund steht im Protokoll; der Connector versucht es weiter.",
        ),
        "needs_login": (
            "{detail}",
            "`edge-connector auth --browser`, oder setzen Sie DEPLOYMENT_ID und DEPLOYMENT_SECRET.",
        ),
        "token_expired": (
            "{detail}",
            "`edge-connector auth --browser` oder `edge-connector auth --token <neues-Token>`.",
        ),
        "token_invalid": (
            "{detail}",
            "`edge-connector auth --browser` oder `edge-connector auth --token <neues-Token>`.",
        ),
        "token_without_organization": (
            "{detail}",
            "Erst bei einer Organisation anmelden, dann `edge-connector auth --token <neues-Token>`.",
        ),
        "clock_skew": (
            "{detail}",
            "Stellen Sie die Uhr dieses Rechners; der Connector wählt, sobald sie richtig geht.",
        ),
        "keyring_locked": (
            "Der Schlüsselbund ist gesperrt, der Connector wartet: {detail}",
            "Entsperren Sie den Schlüsselbund dieser Sitzung; der Connector macht von selbst weiter.",
        ),
        "keyring_unavailable": (
            "{detail}",
            "Starten Sie den Schlüsselbund dieser Sitzung, oder neu anmelden mit `edge-connector auth --browser`.",
        ),
        "token_expires_soon": (
            "Die Anmeldung endet in {detail} und lässt sich ohne Sie nicht erneuern.",
            "`edge-connector auth --browser` oder `edge-connector auth --token <neues-Token>`.",
        ),
        "sign_in_ended": (
            "{detail}",
            "Melden Sie sich neu an: `edge-connector auth --browser`.",
        ),
        "sign_in_failed": (
            "{detail}",
            "Melden Sie sich aus Tray oder Fenster noch einmal an, oder `edge-connector auth --browser`.",
        ),
        "configuration": ("{detail}", "Führen Sie `edge-connector config validate` aus."),
        "ledger_unavailable": (
            "Das Aufrufbuch ist nicht schreibbar: {detail}. Was nicht zweimal laufen darf, wird so lange abgelehnt.",
            "Schaffen Sie Platz oder Schreibrecht für calls.sqlite3; der Connector versucht es weiter.",
        ),
        "ledger_put_aside": (
            "Das Aufrufbuch war beschädigt. Es liegt jetzt unter {detail}, und ein neues wurde begonnen.",
            "Prüfen Sie den Datenträger; löschen Sie die Datei, wenn Sie ihre Geschichte nicht brauchen.",
        ),
        "lock_file_deleted": (
            "edge-runtime.lock wurde gelöscht, während dieser Connector läuft.",
            "Nichts zu tun: die Sperre gilt weiter, und die Datei wurde neu geschrieben.",
        ),
    }
}


def problem_words(code: str, sentence: str, fix: str, language: str) -> tuple[str, str]:
    """Sentence and cure of a problem in `language`; as they were where there are no words for it."""
    words = PROBLEM_WORDS.get(language, {}).get(code)
    if words is None or code not in KINDS:
        return sentence, fix
    kind = KINDS[code]
    found = {}
    for template, text in ((kind.sentence, sentence), (kind.fix, fix)):
        match = _pattern(template).fullmatch(text)
        # Another release says it in other words.
        if match is None:
            return sentence, fix
        found.update(match.groupdict())
    return words[0].format(**found), words[1].format(**found)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = []
    for literal, name, _, _ in string.Formatter().parse(template):
        parts.append(re.escape(literal))
        if name:
            parts.append(f"(?P<{name}>.*?)")
    return re.compile("".join(parts), re.DOTALL)
