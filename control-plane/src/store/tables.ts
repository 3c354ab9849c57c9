/**
 * The tables as drizzle sees them. The SQL in migrations/ makes them; a test holds the two
 * together.
 */
import type { SQL } from 'drizzle-orm';
import type { SQLiteTable } from 'drizzle-orm/sqlite-core';
import { getTableColumns, integer, sql, sqliteTable, text } from './drizzle.ts';
import type { ServerOrigin } from '../domain/server/events.ts';
import type { TenantOrigin } from '../domain/tenant/events.ts';

export const events = sqliteTable('events', {
  position: integer().primaryKey(),
  stream: text().notNull(),
  streamVersion: integer('stream_version').notNull(),
  type: text().notNull(),
  /** Canonical JSON. */
  data: text().notNull(),
  actor: text().notNull(),
  reason: text(),
  requestId: text('request_id').notNull(),
  occurredAt: text('occurred_at').notNull(),
  epoch: integer().notNull(),
  prevHash: text('prev_hash').notNull(),
  hash: text().notNull(),
});

export const writer = sqliteTable('writer', {
  id: integer().primaryKey(),
  epoch: integer().notNull(),
});

export const replica = sqliteTable('replica', {
  id: integer().primaryKey(),
  createdAt: text('created_at').notNull(),
  firstSequence: integer('first_sequence').notNull(),
  sequence: integer().notNull(),
});

export const checkpoints = sqliteTable('checkpoints', {
  name: text().primaryKey(),
  position: integer().notNull(),
});

export const tenants = sqliteTable('tenants', {
  /** Lower-case id. */
  key: text().primaryKey(),
  id: text().notNull(),
  origin: text().$type<TenantOrigin>().notNull(),
  version: integer().notNull(),
  position: integer().notNull(),
  createdAt: text('created_at').notNull(),
  updatedAt: text('updated_at').notNull(),
  searchText: text('search_text').notNull(),
  /** TenantConfig as JSON. */
  data: text().notNull(),
});

export const defaults = sqliteTable('defaults', {
  id: integer().primaryKey(),
  version: integer().notNull(),
  position: integer().notNull(),
  /** PoolSettings as JSON. */
  data: text().notNull(),
});

export const apiKeys = sqliteTable('api_keys', {
  id: text().primaryKey(),
  nameKey: text('name_key').notNull(),
  prefix: text().notNull(),
  version: integer().notNull(),
  position: integer().notNull(),
  createdAt: text('created_at').notNull(),
  createdBy: text('created_by').notNull(),
  updatedAt: text('updated_at').notNull(),
  revokedAt: text('revoked_at'),
  /** ApiKey as JSON. */
  data: text().notNull(),
});

export const servers = sqliteTable('servers', {
  /** Lower-case name. */
  key: text().primaryKey(),
  /** `addressKey` of it. */
  address: text().notNull(),
  origin: text().$type<ServerOrigin>().notNull(),
  version: integer().notNull(),
  position: integer().notNull(),
  createdAt: text('created_at').notNull(),
  updatedAt: text('updated_at').notNull(),
  /** ServerConfig as JSON. */
  data: text().notNull(),
});

export const apiKeyUses = sqliteTable('api_key_uses', {
  id: text().primaryKey(),
  lastUsedAt: text('last_used_at').notNull(),
});

export const keptAnswers = sqliteTable('kept_answers', {
  id: integer().primaryKey(),
  actor: text().notNull(),
  key: text().notNull(),
  fingerprint: text().notNull(),
  status: integer().notNull(),
  /** A JSON object. */
  headers: text().notNull(),
  body: text(),
  position: integer().notNull(),
  keptAtMs: integer('kept_at_ms').notNull(),
  bytes: integer().notNull(),
});

/** Triggers keep it. */
export const keptAnswerTotals = sqliteTable('kept_answer_totals', {
  actor: text().primaryKey(),
  answers: integer().notNull(),
  bytes: integer().notNull(),
});

/** `SET` of an upsert: every column takes the value that could not be inserted. */
export function excluded(table: SQLiteTable): Record<string, SQL> {
  const columns = Object.entries(getTableColumns(table));
  return Object.fromEntries(
    columns.map(([name, column]) => [name, sql`excluded.${sql.identifier(column.name)}`]),
  );
}
