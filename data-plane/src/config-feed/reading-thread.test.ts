/** Snapshots that are read apart, large and small: as they are read here. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeConfig } from '@dbbouncer/shared/contract/config-text.ts';
import { encodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import { UNSIGNED } from '@dbbouncer/shared/contract/signed-message.ts';
import { toSnapshotBytes } from '@dbbouncer/shared/contract/snapshot-bytes.ts';
import { someConfig, someTenant } from '../routing/testing.ts';
import { judgeSnapshot } from './judge.ts';
import { readSnapshotApart } from './reading-thread.ts';

const PLACE = { logCreatedAt: 'then', logSequence: 7 };
/** Some 2.5 MB. */
const MANY = 12_000;

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

describe('a snapshot', () => {
  for (const count of [0, 1, MANY]) {
    it(`of ${count} tenants is read whole`, async () => {
      const config = someConfig(Array.from({ length: count }, (_, n) => someTenant(`t-${n}`)));
      const text = encodeSnapshot({ ...PLACE, config });
      const decoded = await readSnapshotApart(bytes(text), UNSIGNED);
      assert.ok(decoded.kind === 'snapshot');
      const { config: read, ...place } = decoded.snapshot;
      assert.deepEqual(place, PLACE);
      assert.equal(read.tenants.size, count);
      assert.equal(encodeConfig(read), encodeConfig(config));
      if (count > 0) assert.deepEqual(read.tenants.get('t-0'), someTenant('t-0'));
    });
  }

  it(`of ${5 * MANY} tenants is judged as any other when it is compressed`, async () => {
    const bad = someTenant('bad', { pool: { minConnections: 9, maxConnections: 8 } });
    for (const extra of [[], [bad]]) {
      const tenants = Array.from({ length: 5 * MANY }, (_, n) => someTenant(`t-${n}`));
      const config = someConfig([...tenants, ...extra], { position: 9 });
      const text = Buffer.from(encodeSnapshot({ ...PLACE, config }));
      const decoded = await readSnapshotApart(await toSnapshotBytes(text), UNSIGNED);
      assert.ok(decoded.kind === 'snapshot');
      const verdict = judgeSnapshot(EMPTY_CONFIG, decoded.snapshot.config);
      assert.equal(verdict.kind, extra.length === 0 ? 'apply' : 'reject');
    }
  });

  it('that is large and holds a tenant of an unknown form says which', async () => {
    const tenants = Array.from({ length: MANY }, (_, n) => someTenant(`t-${n}`));
    const text = encodeSnapshot({ ...PLACE, config: someConfig(tenants, { position: 42 }) });
    const decoded = await readSnapshotApart(
      bytes(text.replace('"port":5432', '"port":"x"')),
      UNSIGNED,
    );
    assert.ok(decoded.kind === 'undecodable');
    assert.equal(decoded.position, 42);
    assert.match(decoded.reason, /^snapshot has an unknown form: .*tenants\[0\]\.port/);
  });
});
