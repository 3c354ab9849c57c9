-- API keys as queries see them. Rebuilt from events, so safe to drop: made again at the next start.
CREATE TABLE IF NOT EXISTS api_keys (
  id TEXT PRIMARY KEY,
  name_key TEXT NOT NULL,
  prefix TEXT NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  created_by TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  revoked_at TEXT,
  data TEXT NOT NULL
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX IF NOT EXISTS api_keys_by_prefix ON api_keys (prefix);
--> statement-breakpoint
-- When each key was used last; in no event, since using a key changes nothing.
CREATE TABLE IF NOT EXISTS api_key_uses (
  id TEXT PRIMARY KEY,
  last_used_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
