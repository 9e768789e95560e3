-- A store as version 2 wrote it: two organizations with the same person in both, deployments, calls.
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
  error_detail BLOB, result BLOB, idempotency_key TEXT, request_digest BLOB, late_outcome TEXT,
  PRIMARY KEY (organization_id, id)
) WITHOUT ROWID;
CREATE INDEX calls_kept ON calls (organization_id, id) WHERE result IS NOT NULL OR idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX calls_by_key ON calls (organization_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX calls_open ON calls (id) WHERE outcome = '';
INSERT INTO settings VALUES ('kept', 'as it was');
INSERT INTO organizations VALUES ('org_1', 'Acme', 1, 1700000000.0);
INSERT INTO organizations VALUES ('org_2', 'Beta', 0, 1700000001.0);
INSERT INTO users VALUES ('usr_1', 'org_1', 'ada@acme.test', 'Ada', 'admin', 1700000000.0);
INSERT INTO users VALUES ('usr_2', 'org_1', 'bob@acme.test', 'Bob', 'member', 1700000002.0);
INSERT INTO users VALUES ('usr_3', 'org_2', 'Ada@Acme.test', 'Ada L.', 'member', 1700000003.0);
INSERT INTO server_tokens VALUES ('tok_1', 'org_1', 'usr_1', 'first token', x'01', 1700000000.0, 1700000009.0);
INSERT INTO server_tokens VALUES ('tok_2', 'org_2', 'usr_3', 'of beta', x'02', 1700000004.0, NULL);
INSERT INTO deployments VALUES ('dep_1', 'org_1', 'edge', 'd', 'SERVER', 'edge-device', x'03', '', '', 1700000005.0);
INSERT INTO deployments VALUES ('dep_2', 'org_2', 'laptop', '', 'DESKTOP', 'edge-device', NULL, 'usr_3', 'inst-1', 1700000006.0);
INSERT INTO connectors VALUES ('con_1', 'dep_1', 'inst-0', 'box', '1.0', 'linux', 1700000007.0, 'offline', x'5b7b226e616d65223a226563686f227d5d');
INSERT INTO connectors VALUES ('con_2', 'dep_2', 'inst-1', 'laptop', '1.0', 'linux', NULL, '', x'5b5d');
INSERT INTO calls VALUES ('call_1', 'org_1', 'dep_1', 'echo', 1700000050.0, 'agent', 'u', 'first token', 1, 'succeeded', 1.5, '', '', '', NULL, x'7b2261223a317d', 'key-1', x'04', NULL);
INSERT INTO calls VALUES ('call_2', 'org_2', 'dep_2', 'echo', 1700000060.0, '', '', 'of beta', 2, 'timed_out', 2.5, 'c', 'm', 'h', NULL, NULL, NULL, NULL, 'succeeded');
PRAGMA user_version=2;
