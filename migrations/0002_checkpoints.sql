-- How far each reader of the log has come.
CREATE TABLE checkpoints (
  name TEXT PRIMARY KEY,
  position INTEGER NOT NULL CHECK (position >= 0)
) STRICT, WITHOUT ROWID;
