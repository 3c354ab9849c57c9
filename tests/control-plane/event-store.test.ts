/**
 * What only the SQLite event store can do: its file, its one writer, tamper evidence, read models
 * that went away.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { getTableColumns, getTableName } from 'drizzle-orm';
import type { EventStore } from '@dbbouncer/control-plane/store/event-store.ts';
import { verifyChain } from '@dbbouncer/control-plane/store/hash-chain.ts';
import { namingFailures } from '@dbbouncer/control-plane/store/failures.ts';
import * as tables from '@dbbouncer/control-plane/store/tables.ts';
import { META, openStore, register, temporaryDirectory } from './core-harness.ts';
import { OPEN_STORE } from './open-store.ts';

function databaseFile(t: TestContext): string {
  return join(temporaryDirectory(t), 'events.db');
}

function appendTenants(store: EventStore, ...ids: readonly string[]): void {
  for (const id of ids) {
    const { tenant, origin } = register(id);
    store.append({
      stream: `tenant/${id}`,
      expectedVersion: 'no-stream',
      events: [{ type: 'TenantRegistered', data: { tenant, origin } }],
      meta: META,
    });
  }
}

/** A closed database with the tenants a to e, changed by `sql` behind the store's back. */
function tamperedWith(t: TestContext, ...sql: readonly string[]): string {
  const file = databaseFile(t);
  const store = openStore(file);
  appendTenants(store, 'a', 'b', 'c', 'd', 'e');
  store.close();
  edit(file, ...sql);
  return file;
}

function edit(file: string, ...sql: readonly string[]): void {
  const client = new Database(file);
  try {
    for (const statement of sql) client.exec(statement);
  } finally {
    client.close();
  }
}

const DISARM = ['DROP TRIGGER events_are_not_changed', 'DROP TRIGGER events_are_not_deleted'];

function verdictOn(file: string): ReturnType<typeof verifyChain> {
  const store = openStore(file);
  try {
    return verifyChain(store);
  } finally {
    store.close();
  }
}

describe('database file', () => {
  it('and all files beside it can be read by their owner only', (t) => {
    const file = databaseFile(t);
    const store = openStore(file);
    appendTenants(store, 'a');
    const directory = join(file, '..');
    const modes = readdirSync(directory).map((name) => [
      name,
      statSync(join(directory, name)).mode & 0o777,
    ]);
    store.close();
    assert.deepEqual(Object.fromEntries(modes), {
      'events.db': 0o600,
      'events.db-shm': 0o600,
      'events.db-wal': 0o600,
      'events.db.lock': 0o600,
    });
  });

  it('has the columns that the code thinks it has', (t) => {
    const file = databaseFile(t);
    openStore(file).close();
    const client = new Database(file, { readonly: true });
    t.after(() => client.close());
    for (const table of [
      tables.events,
      tables.writer,
      tables.checkpoints,
      tables.tenants,
      tables.defaults,
      tables.keptAnswers,
      tables.keptAnswerTotals,
    ]) {
      const columns = client.pragma(`table_info(${getTableName(table)})`) as { name: string }[];
      assert.deepEqual(
        new Set(columns.map((column) => column.name)),
        new Set(Object.values(getTableColumns(table)).map((column) => column.name)),
      );
    }
  });

  it('keeps what was appended over a close', (t) => {
    const file = databaseFile(t);
    const store = openStore(file);
    appendTenants(store, 'a', 'b');
    const before = [...store.readAll(0)];
    store.close();
    const again = openStore(file);
    t.after(() => again.close());
    assert.deepEqual([...again.readAll(0)], before);
    appendTenants(again, 'c');
    assert.equal(verifyChain(again).status, 'clean');
  });
});

describe('one writer', () => {
  const locked = { code: 'STORE_LOCKED', message: /Another control plane writes to .*events\.db/ };

  it('refuses a second store on the same file, until the first is closed', (t) => {
    const file = databaseFile(t);
    const first = openStore(file);
    assert.throws(() => openStore(file), locked);
    appendTenants(first, 'a');
    first.close();
    openStore(file).close();
  });

  it('refuses a second process', (t) => {
    const file = databaseFile(t);
    const store = openStore(file);
    t.after(() => store.close());
    const child = spawnSync(process.execPath, [OPEN_STORE, file], { encoding: 'utf8' });
    assert.equal(child.stdout, 'STORE_LOCKED\n', child.stderr);
  });

  it('leaves others free to read', (t) => {
    const file = databaseFile(t);
    const store = openStore(file);
    t.after(() => store.close());
    appendTenants(store, 'a', 'b');
    const reader = new Database(file, { readonly: true });
    t.after(() => reader.close());
    assert.deepEqual(reader.prepare('SELECT count(*) AS n FROM events').get(), { n: 2 });
  });

  it('says STORE_BUSY when another program holds the file, and appends afterwards', (t) => {
    const file = databaseFile(t);
    const store = openStore(file);
    t.after(() => store.close());
    const other = new Database(file);
    t.after(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    assert.throws(() => appendTenants(store, 'a'), { code: 'STORE_BUSY', retryable: true });
    other.exec('ROLLBACK');
    appendTenants(store, 'a');
    assert.equal(store.head(), 1);
  });
});

describe('a full disk', () => {
  it('is STORE_FULL', (t) => {
    const client = new Database(databaseFile(t));
    t.after(() => client.close());
    client.exec('CREATE TABLE filler (data BLOB)');
    client.pragma('max_page_count = 3');
    assert.throws(
      () => namingFailures(() => client.exec('INSERT INTO filler VALUES (zeroblob(100000))')),
      { code: 'STORE_FULL', kind: 'capacity' },
    );
  });
});

describe('tamper evidence', () => {
  it('does not let events be changed or deleted by a plain statement', (t) => {
    const file = tamperedWith(t);
    assert.throws(() => edit(file, "UPDATE events SET actor = 'x'"), /events are never changed/);
    assert.throws(() => edit(file, 'DELETE FROM events'), /events are never deleted/);
    assert.equal(verdictOn(file).status, 'clean');
  });

  for (const [what, sql, position, reason] of [
    [
      'its data',
      `UPDATE events SET data = replace(data, '5432', '1') WHERE position = 3`,
      3,
      /hash/,
    ],
    ['its actor', `UPDATE events SET actor = 'mallory' WHERE position = 2`, 2, /content/],
    ['its reason', `UPDATE events SET reason = 'none' WHERE position = 1`, 1, /content/],
    ['its time', `UPDATE events SET occurred_at = '2020' WHERE position = 5`, 5, /content/],
    ['its hash', `UPDATE events SET hash = prev_hash WHERE position = 4`, 4, /content/],
    ['its place', `UPDATE events SET position = 9 WHERE position = 5`, 5, /missing/],
    ['unreadable data', `UPDATE events SET data = '{' WHERE position = 3`, 3, /unreadable/],
    ['a gap', 'DELETE FROM events WHERE position = 3', 3, /missing/],
    ['a lost beginning', 'DELETE FROM events WHERE position = 1', 1, /missing/],
  ] as const) {
    it(`names position ${position} for ${what}: ${sql}`, (t) => {
      const verdict = verdictOn(tamperedWith(t, ...DISARM, sql));
      assert.equal(verdict.status, 'broken');
      assert.equal(verdict.position, position);
      assert.match(verdict.reason, reason);
    });
  }

  it('names the event after one that was changed and hashed again', (t) => {
    const hash = 'a'.repeat(64);
    const sql = `UPDATE events SET hash = '${hash}', prev_hash = '${hash}' WHERE position = 3`;
    assert.deepEqual(verdictOn(tamperedWith(t, ...DISARM, sql)), {
      status: 'broken',
      position: 3,
      reason: 'does not follow from the event before it',
    });
  });
});

describe('read models', () => {
  for (const [what, ...sql] of [
    ['dropped', 'DROP TABLE tenants', 'DROP TABLE defaults', 'DELETE FROM checkpoints'],
    ['those of an earlier event', 'DELETE FROM tenants', 'UPDATE checkpoints SET position = 2'],
  ] as const) {
    it(`are made again at the start when they are ${what}`, (t) => {
      const store = openStore(tamperedWith(t, ...sql));
      t.after(() => store.close());
      const { tenants } = store.listTenants({ limit: 9 });
      assert.deepEqual(
        tenants.map((view) => [view.config.id, view.version, view.position]),
        [
          ['a', 1, 1],
          ['b', 1, 2],
          ['c', 1, 3],
          ['d', 1, 4],
          ['e', 1, 5],
        ],
      );
    });
  }
});
