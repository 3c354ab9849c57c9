/**
 * Each delta and snapshot is applied, ignored or refused by its term and position, and one that
 * cannot be served is rejected with its reason: a proxy never guesses a config.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { encodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { decodeConfig, encodeConfig } from '@dbbouncer/shared/contract/config-text.ts';
import type { OpenedMessage } from '@dbbouncer/shared/contract/signed-message.ts';
import { someConfig, someTenant } from '../routing/testing.ts';
import { judgeDelta, judgeSnapshot, readSnapshot, shareUnchanged } from './judge.ts';

const acme = someTenant('acme');
const current = someConfig([acme], { epoch: 3, position: 10 });

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function genuine(text: string): OpenedMessage {
  return { outcome: 'genuine', payload: bytes(text) };
}

function judge(changes: Partial<ConfigDelta>) {
  const delta: ConfigDelta = { epoch: 3, from: 10, to: 11, changes: [], ...changes };
  return judgeDelta(current, genuine(encodeDelta(delta)));
}

describe('judgeDelta', () => {
  it('applies what follows exactly', () => {
    const globex = someTenant('globex');
    const verdict = judge({ to: 12, changes: [{ kind: 'tenant_set', tenant: globex }] });
    assert(verdict.kind === 'apply');
    assert.equal(verdict.config.position, 12);
    assert.deepEqual(verdict.config.tenants.get('globex'), globex);
    assert.equal(verdict.config.tenants.get('acme'), current.tenants.get('acme'));
  });

  it('ignores what is contained already', () => {
    assert.deepEqual(judge({ from: 8, to: 10 }), { kind: 'ignore' });
  });

  it('asks for a snapshot when a later term wrote the same position', () => {
    const reason = 'term 4 wrote position 10 anew';
    assert.deepEqual(judge({ epoch: 4, from: 9, to: 10 }), { kind: 'resync', reason });
  });

  it('asks for a snapshot when positions are missing', () => {
    const reason = 'positions 10 to 12 are missing';
    assert.deepEqual(judge({ from: 12, to: 13 }), { kind: 'resync', reason });
  });

  it('refuses a term that has ended', () => {
    assert.deepEqual(judge({ epoch: 2 }), {
      kind: 'refuse',
      rejection: { position: 11, reason: 'written in term 2, which term 3 has ended' },
    });
  });

  it('rejects a tenant that cannot be served, with the reason', () => {
    const tenant = someTenant('bad', { pool: { minConnections: 9, maxConnections: 8 } });
    assert.deepEqual(judge({ changes: [{ kind: 'tenant_set', tenant }] }), {
      kind: 'reject',
      rejection: {
        position: 11,
        reason: 'tenant "bad": min_connections (9) is above max_connections (8)',
      },
    });
  });

  it('rejects what is not JSON at the position that is served', () => {
    assert.deepEqual(judgeDelta(current, genuine('{"to":')), {
      kind: 'reject',
      rejection: { position: 10, reason: 'delta is not JSON' },
    });
  });

  it('rejects an unknown form at the position it claims, without repeating its content', () => {
    const text = JSON.stringify({ epoch: 3, from: 10, to: 11, changes: [{ kind: 's3cret' }] });
    const verdict = judgeDelta(current, genuine(text));
    assert(verdict.kind === 'reject');
    assert.equal(verdict.rejection.position, 11);
    assert.match(verdict.rejection.reason, /^delta has an unknown form: .*changes\[0\]\.kind/);
    assert.doesNotMatch(verdict.rejection.reason, /s3cret|\n/);
  });
});

describe('judgeDelta of what is not genuine', () => {
  const refused = (text: string) =>
    judgeDelta(current, { outcome: 'refused', reason: 'why', payload: bytes(text) });

  it('rejects it at the position it claims, where a next delta could lead, else at its own', () => {
    const positions = [
      '{"to":11}',
      '{"to":510}',
      '{"to":511}',
      '{"to":3}',
      '{"to":-1}',
      'text',
    ].map((text) => {
      const verdict = refused(text);
      assert.equal(verdict.kind, 'reject');
      return verdict.kind === 'reject' && verdict.rejection.position;
    });
    assert.deepEqual(positions, [11, 510, 10, 10, 10, 10]);
  });
});

describe('judgeSnapshot', () => {
  it('ignores one of the same term that leads no further', () => {
    assert.equal(judgeSnapshot(current, { ...current, position: 9 }).kind, 'ignore');
    assert.equal(judgeSnapshot(current, { ...current }).kind, 'ignore');
  });

  it('applies a later position, and a later term even at a lower position', () => {
    assert.equal(judgeSnapshot(current, { ...current, position: 11 }).kind, 'apply');
    assert.equal(judgeSnapshot(current, { ...current, epoch: 4, position: 5 }).kind, 'apply');
  });

  it('refuses a term that has ended, also at a later position', () => {
    assert.equal(judgeSnapshot(current, { ...current, epoch: 2, position: 99 }).kind, 'refuse');
  });

  it('rejects one that cannot be served', () => {
    const bad = someTenant('bad', { pool: { minConnections: 9, maxConnections: 8 } });
    const verdict = judgeSnapshot(current, someConfig([bad], { epoch: 3, position: 11 }));
    assert(verdict.kind === 'reject');
    assert.equal(verdict.rejection.position, 11);
  });
});

describe('readSnapshot', () => {
  it('reads back what was encoded', async () => {
    const snapshot = { logCreatedAt: 'then', logSequence: 7, config: current };
    const decoded = await readSnapshot(bytes(encodeSnapshot(snapshot)));
    assert(decoded.kind === 'snapshot');
    assert.equal(decoded.snapshot.logSequence, 7);
    assert.equal(encodeConfig(decoded.snapshot.config), encodeConfig(current));
  });

  it('tells the position of one with an unknown form', async () => {
    const decoded = await readSnapshot(bytes('{"config":{"format":2,"position":77}}'));
    assert(decoded.kind === 'undecodable');
    assert.equal(decoded.position, 77);
    assert.match(decoded.reason, /^snapshot has an unknown form/);
  });

  it('tells nothing of garbage', async () => {
    assert.deepEqual(await readSnapshot(new Uint8Array([255, 0, 1])), {
      kind: 'undecodable',
      position: undefined,
      reason: 'snapshot is not JSON',
    });
  });
});

describe('shareUnchanged', () => {
  it('keeps the objects of equal tenants and defaults, so that only changes are swapped', () => {
    const before = someConfig([acme, someTenant('globex'), someTenant('initech')]);
    const after = decodeConfig(
      encodeConfig(someConfig([acme, someTenant('globex', { port: 1 })], { position: 2 })),
    );
    const inUse = before.tenants.get('acme');
    const shared = shareUnchanged(before, after);
    assert.deepEqual([...shared.tenants.changedKeys(before.tenants)].toSorted(), [
      'globex',
      'initech',
    ]);
    assert.equal(shared.tenants.get('acme'), inUse);
    assert.equal(shared.defaults, before.defaults);
    assert.equal(shared.tenants.size, 2);
    assert.equal(shared.position, 2);
    assert.equal(encodeConfig(shared).length, encodeConfig(after).length);
  });
});
