/** The snapshot form: what is encoded comes back, and nothing else passes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PackedMap } from '../kernel/packed-map.ts';
import type { TenantId } from '../kernel/ids.ts';
import {
  decodeSnapshot,
  decodeSnapshotAnswer,
  decodeSnapshotHead,
  encodeSnapshot,
  encodeSnapshotAnswer,
} from './config-snapshot.ts';
import type { ConfigSnapshot } from './config-snapshot.ts';
import { NO_SERVERS } from './database-servers.ts';
import { DEFAULT_POOL_SETTINGS } from './pool-settings.ts';
import type { TenantConfig } from './routing-config.ts';

const tenant: TenantConfig = {
  id: 'Acme' as TenantId,
  protocol: 'postgres',
  host: 'db.example.com',
  port: 5432,
  database: 'acme_db',
  databases: ['reports'],
  username: 'app',
  password: { kind: 'env', name: 'ACME_PASSWORD' },
  pool: { maxConnections: 9 },
};

const snapshot: ConfigSnapshot = {
  logCreatedAt: '2026-01-01T00:00:00Z',
  logSequence: 41,
  config: {
    epoch: 1,
    position: 7,
    defaults: DEFAULT_POOL_SETTINGS,
    servers: NO_SERVERS,
    tenants: PackedMap.from([['acme', tenant]]),
  },
};

describe('ConfigSnapshot', () => {
  it('comes back as it was', () => {
    const decoded = decodeSnapshot(encodeSnapshot(snapshot));
    const { tenants, ...rest } = decoded.config;
    assert.deepEqual([decoded.logCreatedAt, decoded.logSequence], ['2026-01-01T00:00:00Z', 41]);
    assert.deepEqual(rest, {
      epoch: 1,
      position: 7,
      defaults: DEFAULT_POOL_SETTINGS,
      servers: NO_SERVERS,
    });
    assert.deepEqual([...tenants], [['acme', tenant]]);
  });

  it('tells its head without its tenants', () => {
    assert.deepEqual(decodeSnapshotHead(Buffer.from(encodeSnapshot(snapshot))), {
      logCreatedAt: '2026-01-01T00:00:00Z',
      logSequence: 41,
      config: { epoch: 1, position: 7 },
    });
  });

  it('refuses text that is not a snapshot of this format', () => {
    const json = JSON.parse(encodeSnapshot(snapshot)) as Record<string, object>;
    for (const wrong of [
      {},
      { ...json, extra: 1 },
      { ...json, logSequence: -1 },
      { ...json, config: { ...json['config'], format: 2 } },
      { ...json, config: { ...json['config'], tenants: [{ ...tenant, port: 0 }] } },
    ]) {
      assert.throws(() => decodeSnapshot(JSON.stringify(wrong)), { name: 'ZodError' });
    }
    assert.throws(() => decodeSnapshot('{"logCreatedAt"'), SyntaxError);
  });
});

describe('SnapshotAnswer', () => {
  it('comes back as it was, and nothing else passes', () => {
    const answer = { epoch: 1, position: 7 };
    assert.deepEqual(decodeSnapshotAnswer(encodeSnapshotAnswer(answer)), answer);
    assert.throws(() => decodeSnapshotAnswer('{"position":7}'), { name: 'ZodError' });
  });
});
