/**
 * Events of every shape that was ever written, in events.history.json, are read for ever: what a
 * log of years ago holds must fold today. Entries are added there and never changed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { foldRouting, initialConfig } from '../projections/routing.ts';
import type { JsonObject } from '../store/canonical-json.ts';
import { canonicalJson } from '../store/canonical-json.ts';
import { GENESIS_HASH, hashEvent } from '../store/hash-chain.ts';
import { decodeEvent, domainEventSchema } from './domain-event.ts';

interface HistoricalEvent {
  /** What came with this shape. */
  readonly since: string;
  readonly stream: string;
  readonly type: string;
  readonly data: JsonObject;
}

const text = readFileSync(new URL('events.history.json', import.meta.url), 'utf8');
const history = JSON.parse(text) as readonly HistoricalEvent[];

/** Of the shapes before rollbacks: they are on disks of others, so the file may only grow. */
const FIRST = {
  count: 17,
  digest: '786d839b9a08637aab9f21ca5a985c482ea23ede4e5c6232bcea68b78f7a48af',
};

describe('an event of any shape there ever was', () => {
  for (const [index, { since, type, data }] of history.entries()) {
    it(`is read: ${type}, ${index + 1}, since ${since}`, () => {
      assert.equal(decodeEvent({ type, data }).type, type);
    });
  }

  it('is in the history, with every type that there is', () => {
    const known = typesOf(domainEventSchema);
    assert.ok(known.length > 10, known.join(' '));
    const shown = new Set(history.map(({ type }) => type));
    assert.deepEqual(
      known.filter((type) => !shown.has(type)),
      [],
    );
  });

  it('stays in the history as it was written', () => {
    const first = history.slice(0, FIRST.count);
    const digest = createHash('sha256')
      .update(canonicalJson(first as never))
      .digest('hex');
    assert.equal(digest, FIRST.digest, 'entries are added at the end and never changed');
  });

  it('folds with all the others to what they say', () => {
    const stored = history.map(({ stream, type, data }, index) => {
      const event = {
        position: index + 1,
        stream,
        streamVersion: history.slice(0, index + 1).filter((one) => one.stream === stream).length,
        type,
        data,
        actor: 'api:12345678',
        reason: null,
        requestId: 'r',
        occurredAt: '2026-01-01T00:00:00.000Z',
        epoch: 1,
        prevHash: GENESIS_HASH,
      };
      return { ...event, hash: hashEvent(event) };
    });
    const { tenants, servers, defaults, position } = foldRouting(initialConfig(1), stored);
    assert.equal(position, history.length);
    assert.deepEqual(defaults, DEFAULT_POOL_SETTINGS);
    assert.deepEqual([...servers.keys()], ['main']);
    assert.equal(tenants.get('first')?.port, 5433);
    assert.equal(tenants.get('first')?.database, 'promoted_db');
    assert.equal(tenants.get('first')?.canary, undefined);
    assert.deepEqual(tenants.get('first')?.pool, { poolMode: 'transaction' });
    assert.equal(tenants.get('second')?.operations?.state, 'draining');
    assert.equal(tenants.get('second')?.initSql, undefined);
  });

  it('was registered by the API when nothing says who did', () => {
    const [first] = history;
    assert.ok(first !== undefined);
    const event = decodeEvent(first);
    assert.ok(event.type === 'TenantRegistered');
    assert.equal(event.data.origin, 'api');
  });
});

interface Union {
  readonly options?: readonly Union[];
  readonly shape?: { readonly type: { readonly values: ReadonlySet<string> } };
}

function typesOf({ options = [], shape }: Union): readonly string[] {
  return shape === undefined ? options.flatMap(typesOf) : [...shape.type.values];
}
