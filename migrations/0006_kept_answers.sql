-- What writes with an Idempotency-Key were answered. Not rebuilt from events: whoever repeats a request has them alone.
CREATE TABLE kept_answers (
  id INTEGER PRIMARY KEY,
  actor TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  status INTEGER NOT NULL,
  headers TEXT NOT NULL,
  body TEXT,
  position INTEGER NOT NULL,
  kept_at_ms INTEGER NOT NULL,
  bytes INTEGER NOT NULL CHECK (bytes > 0),
  UNIQUE (actor, key)
) STRICT;
--> statement-breakpoint
CREATE INDEX kept_answers_by_age ON kept_answers (kept_at_ms);
--> statement-breakpoint
CREATE TABLE kept_answer_totals (
  actor TEXT PRIMARY KEY,
  answers INTEGER NOT NULL CHECK (answers >= 0),
  bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TRIGGER kept_answers_are_counted AFTER INSERT ON kept_answers
BEGIN
  INSERT INTO kept_answer_totals (actor, answers, bytes) VALUES (NEW.actor, 1, NEW.bytes)
  ON CONFLICT (actor) DO UPDATE SET answers = answers + 1, bytes = bytes + excluded.bytes;
END;
--> statement-breakpoint
CREATE TRIGGER kept_answers_are_discounted AFTER DELETE ON kept_answers
BEGIN
  UPDATE kept_answer_totals SET answers = answers - 1, bytes = bytes - OLD.bytes
  WHERE actor = OLD.actor;
  DELETE FROM kept_answer_totals WHERE actor = OLD.actor AND answers = 0;
END;
