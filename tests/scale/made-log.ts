/**
 * An event log of any size in a data folder: every tenant is registered, then changed at random in
 * the ways tenants are changed. Each event is made as the store makes it, and written as one that
 * another control plane has stored; the same size gives the same changes.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TenantEvent } from '@dbbouncer/control-plane/domain/tenant/events.ts';
import { tenantStream } from '@dbbouncer/control-plane/domain/tenant/events.ts';
import { databaseOf } from '@dbbouncer/control-plane/maintenance/data-folder.ts';
import { projectViews } from '@dbbouncer/control-plane/projections/tenant-views.ts';
import { GENESIS_HASH } from '@dbbouncer/control-plane/store/hash-chain.ts';
import { prepareEvent } from '@dbbouncer/control-plane/store/prepare-event.ts';
import { ReceivedLog } from '@dbbouncer/control-plane/store/received-log.ts';
import { openSqliteEventStore } from '@dbbouncer/control-plane/store/sqlite-event-store.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { SeededRandom } from '../support/seeded-random.ts';

export interface LogSize {
  readonly tenants: number;
  /** At least as many as there are tenants. */
  readonly events: number;
}

const META = { actor: 'scale', requestId: 'scale' };
export const MASTER_KEY = 'a master key to measure with';

/** In the order of their numbers. */
export function tenantName(index: number): TenantId {
  return `tenant-${String(index).padStart(6, '0')}` as TenantId;
}

/** The data folder with a log of this size, below the folder for them; made if it is not there. */
export function logOfSize({ folder, tenants, events }: LogSize & { readonly folder: string }) {
  const dataDir = join(folder, `${tenants}-tenants-${events}-events`);
  makeLog(dataDir, { tenants, events });
  return dataDir;
}

/** Makes the log of `dataDir`, unless it has one. A million events take about a minute. */
export function makeLog(dataDir: string, size: LogSize): void {
  const file = databaseOf(dataDir);
  if (existsSync(file)) return;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const log = new ReceivedLog(file);
  try {
    writeEvents(log, size, newKeyring(dataDir));
    log.commit();
  } finally {
    log.close();
  }
  const options = { file, durability: 'normal', clock: systemClock, log: silentLogger } as const;
  // It finds that the read models are of no event, and makes them.
  openSqliteEventStore({ ...options, project: projectViews }).close();
}

function newKeyring(dataDir: string): Keyring {
  const source = openKeySource({ masterKey: MASTER_KEY, dataDir, whenAbsent: 'wait' });
  return new Keyring(source, () => undefined);
}

function writeEvents(log: ReceivedLog, { tenants, events }: LogSize, keyring: Keyring): void {
  const random = new SeededRandom(1);
  const versions = new Uint32Array(tenants);
  const occurredAt = systemClock.timestamp();
  let prevHash = GENESIS_HASH;
  for (let position = 1; position <= events; position += 1) {
    const index = position <= tenants ? position - 1 : random.between(0, tenants - 1);
    const made = position <= tenants ? registered(index, keyring) : changed(index, random, keyring);
    const streamVersion = (versions[index] ?? 0) + 1;
    versions[index] = streamVersion;
    const stream = tenantStream(tenantName(index));
    const place = { position, stream, streamVersion, occurredAt, epoch: 1, prevHash };
    const { event } = prepareEvent(made, META, place);
    const problem = log.add(event);
    if (problem !== undefined) throw new Error(`event ${position} ${problem}`);
    prevHash = event.hash;
  }
}

function registered(index: number, keyring: Keyring): TenantEvent {
  return { type: 'TenantRegistered', data: { tenant: sampleOf(index, keyring), origin: 'api' } };
}

/** As a fleet has them: a few hundred servers, a database and a user each, a setting or two. */
export function sampleOf(index: number, keyring: Keyring): TenantConfig {
  const id = tenantName(index);
  return {
    id,
    protocol: 'postgres',
    host: `pg-${index % 300}.eu-central.internal.example`,
    port: 5432,
    database: `app_${index}`,
    databases: [],
    username: `app_${index}`,
    password: keyring.seal(`password of ${id}`, id),
    pool: index % 4 === 0 ? { maxConnections: 10, acquireTimeoutMs: 5_000 } : {},
  };
}

function changed(index: number, random: SeededRandom, keyring: Keyring): TenantEvent {
  return random.weighted<() => TenantEvent>([
    [6, () => updated({ pool: { maxConnections: random.between(5, 50) } })],
    [3, () => updated({ host: `pg-${random.between(0, 299)}.eu-west.internal.example` })],
    [2, () => rotated(index, keyring)],
    [2, () => ({ type: 'TenantPaused', data: {} })],
    [2, () => ({ type: 'TenantResumed', data: {} })],
    [1, () => ({ type: 'TenantReconnected', data: {} })],
  ])();
}

function updated(
  changes: Extract<TenantEvent, { type: 'TenantUpdated' }>['data']['changes'],
): TenantEvent {
  return { type: 'TenantUpdated', data: { changes } };
}

function rotated(index: number, keyring: Keyring): TenantEvent {
  const id = tenantName(index);
  return { type: 'TenantCredentialsChanged', data: { password: keyring.seal('another', id) } };
}
