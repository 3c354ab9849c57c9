-- The event log: the source of truth. One writer, so position order is commit order.
CREATE TABLE events (
  position INTEGER PRIMARY KEY CHECK (position > 0),
  stream TEXT NOT NULL,
  stream_version INTEGER NOT NULL CHECK (stream_version > 0),
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT,
  request_id TEXT NOT NULL,
  occurred_at TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL,
  UNIQUE (stream, stream_version)
) STRICT;
--> statement-breakpoint
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
  SELECT RAISE(ABORT, 'events are never changed');
END;
--> statement-breakpoint
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN
  SELECT RAISE(ABORT, 'events are never deleted');
END;
--> statement-breakpoint
-- The term of the one control plane that writes this log.
CREATE TABLE writer (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL CHECK (epoch > 0)
) STRICT;
--> statement-breakpoint
INSERT INTO writer (id, epoch) VALUES (1, 1);
