-- What queries see. Rebuilt from events, so safe to drop: missing tables are made again at the next start.
CREATE TABLE IF NOT EXISTS tenants (
  key TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  origin TEXT NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  search_text TEXT NOT NULL,
  data TEXT NOT NULL
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE IF NOT EXISTS defaults (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  data TEXT NOT NULL
) STRICT;
