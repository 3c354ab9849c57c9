-- Which message of the event stream on the bus the last event of this log came from, or went to.
CREATE TABLE replica (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  created_at TEXT NOT NULL,
  first_sequence INTEGER NOT NULL CHECK (first_sequence > 0),
  sequence INTEGER NOT NULL CHECK (sequence >= 0)
) STRICT;
