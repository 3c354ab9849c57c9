-- What the log is searched by. Each index ends with the position, so that a page is read in order and no further.
CREATE INDEX events_by_stream ON events (stream);
--> statement-breakpoint
CREATE INDEX events_by_type ON events (type);
--> statement-breakpoint
CREATE INDEX events_by_actor ON events (actor);
--> statement-breakpoint
CREATE INDEX events_by_request ON events (request_id);
--> statement-breakpoint
CREATE INDEX events_by_time ON events (occurred_at);
