/**
 * drizzle-orm, loaded as CommonJS: as ES modules each of its hundred files makes Node read the
 * package's manifest of 180 kB again, which is half a second of every start.
 */
import { createRequire } from 'node:module';
import type * as Core from 'drizzle-orm';
import type * as Driver from 'drizzle-orm/better-sqlite3';
import type * as Migrations from 'drizzle-orm/better-sqlite3/migrator';
import type * as Sqlite from 'drizzle-orm/sqlite-core';

const load = createRequire(import.meta.url);
const core = load('drizzle-orm') as typeof Core;
const sqlite = load('drizzle-orm/sqlite-core') as typeof Sqlite;
const driver = load('drizzle-orm/better-sqlite3') as typeof Driver;
const migrations = load('drizzle-orm/better-sqlite3/migrator') as typeof Migrations;

export const { and, asc, count, desc, eq, getTableColumns, gt, inArray, isNull, lte, max } = core;
export const { ne, Param, Placeholder, sql } = core;
export const { integer, sqliteTable, text } = sqlite;
export const { drizzle } = driver;
export const { migrate } = migrations;
