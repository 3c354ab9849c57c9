/**
 * What stands on a bus, seen from the other side: deltas, snapshot, and what a proxy makes of both.
 */
import assert from 'node:assert/strict';
import type { ControlPlaneCore } from '@dbbouncer/control-plane/core.ts';
import type { Bus, LogSpec } from '@dbbouncer/shared/bus/bus.ts';
import { applyDelta, decodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { decodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { ConfigSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { splitSignature } from '@dbbouncer/shared/contract/signed-message.ts';
import { fromSnapshotBytes } from '@dbbouncer/shared/contract/snapshot-bytes.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { until } from './core-harness.ts';

export const EVENT_LOG: LogSpec = { stream: SUBJECTS.eventStream, subject: SUBJECTS.event };

/** Every message of a log, oldest first. */
export async function messagesOn(bus: Bus, spec: LogSpec): Promise<Uint8Array[]> {
  const log = bus.log(spec);
  const { lastSequence } = await log.state();
  const messages: Uint8Array[] = [];
  if (lastSequence === 0) return messages;
  await new Promise<void>((resolve) => {
    const following = log.follow(1, ({ sequence, data }) => {
      messages.push(data);
      if (sequence < lastSequence) return;
      following.close();
      resolve();
    });
  });
  return messages;
}

export async function deltasOn(bus: Bus): Promise<ConfigDelta[]> {
  const messages = await messagesOn(bus, CONFIG_LOG);
  return messages.map((data) => {
    const { payload } = splitSignature(data);
    return decodeDelta(Buffer.from(payload).toString('utf8'));
  });
}

/** From and to of each delta. */
export async function stepsOn(bus: Bus): Promise<[number, number][]> {
  return (await deltasOn(bus)).map(({ from, to }) => [from, to]);
}

export async function snapshotOn(bus: Bus): Promise<ConfigSnapshot | undefined> {
  const data = await bus.objects(SUBJECTS.snapshotBucket).get(SUBJECTS.snapshotObject);
  if (data === undefined) return undefined;
  return decodeSnapshot((await fromSnapshotBytes(data)).toString('utf8'));
}

/** Resolves when the bus was told all there is to tell, and holds a snapshot of some position. */
export async function published(core: ControlPlaneCore): Promise<void> {
  await until('everything is published', () => {
    const { position, publishedPosition, events, deltas, snapshotPosition } = core.status();
    return (
      publishedPosition === position &&
      events.position === position &&
      deltas.phase === 'tailing' &&
      events.phase === 'tailing' &&
      snapshotPosition !== undefined
    );
  });
}

/** What a proxy makes of the snapshot and the deltas after it; fails when it meets a gap. */
export async function configOfProxy(bus: Bus): Promise<RoutingConfig> {
  const snapshot = await snapshotOn(bus);
  assert.ok(snapshot !== undefined, 'there is a snapshot');
  let { config } = snapshot;
  for (const delta of (await deltasOn(bus)).slice(snapshot.logSequence)) {
    const next = applyDelta(config, delta);
    assert.notEqual(next, 'gap');
    if (typeof next === 'object') config = next;
  }
  return config;
}

/**
 * A proxy that starts now is at the end of the log and knows every tenant as the control plane
 * does.
 */
export async function assertProxyIsUpToDate(bus: Bus, core: ControlPlaneCore): Promise<void> {
  const config = await configOfProxy(bus);
  assert.equal(config.position, core.status().position);
  const { tenants } = core.tenants.listTenants({ limit: 10_000 });
  assert.deepEqual(
    new Map(config.tenants),
    new Map(tenants.map((view) => [view.config.id.toLowerCase(), view.config])),
  );
}
