/**
 * What the control plane's tests share: a temporary data directory, commands, and waiting for
 * facts.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlPlaneCore } from '@dbbouncer/control-plane/core.ts';
import { sampleTenant } from '@dbbouncer/control-plane/domain/given-when-then.ts';
import type {
  RegisterTenant,
  UpdateTenant,
} from '@dbbouncer/control-plane/domain/tenant/commands.ts';
import type { TenantPatch } from '@dbbouncer/control-plane/domain/tenant/commands.ts';
import { projectViews } from '@dbbouncer/control-plane/projections/tenant-views.ts';
import type { EventStore } from '@dbbouncer/control-plane/store/event-store.ts';
import { openSqliteEventStore } from '@dbbouncer/control-plane/store/sqlite-event-store.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';

export const META = Object.freeze({ actor: 'tester', requestId: 'request' });

/** A directory that is gone after the test. */
export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'dbbouncer-control-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export function openStore(file: string): EventStore {
  return openSqliteEventStore({
    file,
    durability: 'full',
    clock: systemClock,
    log: silentLogger,
    project: projectViews,
  });
}

export function register(id: string, port = 5432): RegisterTenant {
  const tenant = sampleTenant({ id: id as TenantId, port });
  return { kind: 'register_tenant', origin: 'api', tenant };
}

export function update(id: string, changes: TenantPatch): UpdateTenant {
  return { kind: 'update_tenant', id: id as TenantId, changes };
}

export async function registerAll(
  core: ControlPlaneCore,
  ...ids: readonly string[]
): Promise<void> {
  await Promise.all(ids.map((id) => core.commands.handle(register(id), META)));
}

/** Resolves as soon as `fact` holds; fails after 5 s, naming it. */
export async function until(name: string, fact: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpMs = systemClock.nowMs() + 5_000;
  while (!(await fact())) {
    assert.ok(systemClock.nowMs() < giveUpMs, `within 5 s: ${name}`);
    await sleep(2);
  }
}
