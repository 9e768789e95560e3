"""The store's schema as numbered steps. A step that was released is never changed: a new one is added.

Step n leads from version n-1 to n; the version is SQLite's `user_version`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_connector.core.errors import Fatal

_V1 = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE organizations (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, active INTEGER NOT NULL DEFAULT 1, created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE users (
  id TEXT PRIMARY KEY, organization_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  email TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, created_at REAL NOT NULL, UNIQUE (organization_id, email)
) WITHOUT ROWID;
CREATE TABLE server_tokens (
  id TEXT PRIMARY KEY, organization_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  user_id TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, created_at REAL NOT NULL, last_used_at REAL
) WITHOUT ROWID;
CREATE TABLE deployments (
  id TEXT PRIMARY KEY, organization_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  name TEXT NOT NULL, description TEXT NOT NULL, client_type TEXT NOT NULL, runtime_kind TEXT NOT NULL,
  secret_digest BLOB, user_id TEXT NOT NULL, instance_id TEXT NOT NULL, created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE connectors (
  id TEXT PRIMARY KEY, deployment_id TEXT NOT NULL REFERENCES deployments(id) ON DELETE CASCADE,
  instance_id TEXT NOT NULL, host TEXT NOT NULL, version TEXT NOT NULL, platform TEXT NOT NULL,
  last_seen_at REAL, offline_reason TEXT NOT NULL, tools BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX connectors_by_deployment ON connectors (deployment_id);
CREATE TABLE calls (
  id TEXT NOT NULL, organization_id TEXT NOT NULL, deployment_id TEXT NOT NULL, tool TEXT NOT NULL,
  started_at REAL NOT NULL, agent TEXT NOT NULL, user TEXT NOT NULL, credential TEXT NOT NULL, attempt INTEGER NOT NULL,
  outcome TEXT NOT NULL, duration_ms REAL,
  error_code TEXT NOT NULL, error_message TEXT NOT NULL, error_hint TEXT NOT NULL,
  error_detail BLOB, result BLOB, idempotency_key TEXT,
  PRIMARY KEY (organization_id, id)
) WITHOUT ROWID;
CREATE INDEX calls_kept ON calls (organization_id, id) WHERE result IS NOT NULL OR idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX calls_by_key ON calls (organization_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
"""

_V2 = """
ALTER TABLE calls ADD COLUMN request_digest BLOB;
ALTER TABLE calls ADD COLUMN late_outcome TEXT;
CREATE INDEX calls_open ON calls (id) WHERE outcome = '';
"""

# Users of one organization become people with memberships; those with the same e-mail address become one.
_V3 = """
ALTER TABLE users RENAME TO users_v2;
CREATE TABLE users (
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT NOT NULL, password_hash TEXT NOT NULL,
  oidc_subject TEXT NOT NULL, active INTEGER NOT NULL, created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE memberships (
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  organization_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  role TEXT NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (user_id, organization_id)
) WITHOUT ROWID;
CREATE TABLE one_person (old TEXT PRIMARY KEY, kept TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO one_person SELECT u.id, (
  SELECT k.id FROM users_v2 k WHERE k.email = u.email COLLATE NOCASE ORDER BY k.created_at, k.id LIMIT 1
) FROM users_v2 u;
INSERT INTO users SELECT id, email, name, '', '', 1, created_at FROM users_v2 WHERE id IN (SELECT kept FROM one_person);
INSERT INTO memberships SELECT p.kept, u.organization_id, MIN(u.role), MIN(u.created_at)
  FROM users_v2 u JOIN one_person p ON p.old = u.id GROUP BY p.kept, u.organization_id;
UPDATE server_tokens SET user_id = (SELECT kept FROM one_person WHERE old = user_id)
  WHERE user_id IN (SELECT old FROM one_person);
UPDATE deployments SET user_id = (SELECT kept FROM one_person WHERE old = user_id)
  WHERE user_id IN (SELECT old FROM one_person);
DROP TABLE users_v2;
DROP TABLE one_person;
ALTER TABLE deployments ADD COLUMN previous_secret_digest BLOB;
ALTER TABLE deployments ADD COLUMN previous_secret_until REAL NOT NULL DEFAULT 0;
CREATE TABLE web_sessions (
  digest BLOB PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, organization_id TEXT NOT NULL,
  created_at REAL NOT NULL, seen_at REAL NOT NULL, expires_at REAL NOT NULL, user_agent TEXT NOT NULL,
  address TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE invites (
  id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE,
  organization_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE, role TEXT NOT NULL, email TEXT NOT NULL,
  created_by TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL, used_at REAL
) WITHOUT ROWID;
CREATE TABLE device_grants (
  device_digest BLOB PRIMARY KEY, user_code TEXT NOT NULL UNIQUE, client TEXT NOT NULL, host TEXT NOT NULL,
  instance_id TEXT NOT NULL, scope TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
  interval_s REAL NOT NULL, state TEXT NOT NULL, user_id TEXT NOT NULL, organization_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE refresh_tokens (
  digest BLOB PRIMARY KEY, family TEXT NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  organization_id TEXT NOT NULL REFERENCES organizations(id) ON DELETE CASCADE,
  client TEXT NOT NULL, host TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
  used_at REAL, revoked_at REAL
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_by_use ON refresh_tokens (used_at);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, organization_id TEXT NOT NULL, actor_kind TEXT NOT NULL,
  actor_id TEXT NOT NULL, actor_name TEXT NOT NULL, action TEXT NOT NULL, subject_kind TEXT NOT NULL,
  subject_id TEXT NOT NULL, subject_name TEXT NOT NULL, detail TEXT NOT NULL, address TEXT NOT NULL
);
CREATE INDEX audit_by_organization ON audit (organization_id, seq);
CREATE INDEX audit_by_time ON audit (at);
"""

MIGRATIONS: tuple[str, ...] = (_V1, _V2, _V3)


def migrate(connection: sqlite3.Connection, path: Path) -> int:
    """Bring the store to the newest version, all steps in one transaction; returns the version it had.

    Raises:
        Fatal: a newer program made it; it is left as it is.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise Fatal(
            "store_too_new",
            f"The store {path} has version {version}; this program knows versions up to {len(MIGRATIONS)}.",
            hint="Start the newer edge-connector that made it, or restore an older backup.",
        )
    for step in MIGRATIONS[version:]:
        for statement in step.split(";"):
            if statement.strip():
                connection.execute(statement)
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    return version
