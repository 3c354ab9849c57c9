-- Declared database servers as queries see them. Rebuilt from events, so safe to drop: made again at the next start.
CREATE TABLE IF NOT EXISTS servers (
  key TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  origin TEXT NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX IF NOT EXISTS servers_by_address ON servers (address);
