/**
 * kill -9 of the control plane loses nothing it acknowledged, and what it left is whole.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { DATABASE_FILE, openCore } from '@dbbouncer/control-plane/core.ts';
import {
  foldRouting,
  initialConfig,
  loadRouting,
} from '@dbbouncer/control-plane/projections/routing.ts';
import { verifyChain } from '@dbbouncer/control-plane/store/hash-chain.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { APPEND_UNTIL_KILLED } from './append-until-killed.ts';
import { META, openStore, register, temporaryDirectory, update } from './core-harness.ts';

/** Positions the process acknowledged before it was killed, some time after `count` of them. */
async function killAfter(count: number, dataDir: string, run: number): Promise<number[]> {
  const child = spawn(process.execPath, [APPEND_UNTIL_KILLED, dataDir, String(run)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const acknowledged: number[] = [];
  for await (const line of createInterface(child.stdout)) {
    acknowledged.push(Number(line));
    if (acknowledged.length === count) child.kill('SIGKILL');
  }
  const [code, signal] = (await exited) as [number | null, string | null];
  assert.deepEqual([code, signal], [null, 'SIGKILL']);
  return acknowledged;
}

describe('kill -9 of the control plane', () => {
  it('loses no acknowledged change, over three lives on one database', async (t) => {
    const dataDir = temporaryDirectory(t);
    const acknowledged: number[] = [];
    for (const [run, count] of [40, 150, 301].entries()) {
      acknowledged.push(...(await killAfter(count, dataDir, run)));
      const store = openStore(join(dataDir, DATABASE_FILE));
      try {
        const positions = new Set([...store.readAll(0)].map((event) => event.position));
        assert.deepEqual(
          acknowledged.filter((position) => !positions.has(position)),
          [],
        );
        assert.equal(verifyChain(store).status, 'clean');
        assert.deepEqual(
          new Map(loadRouting(store).tenants),
          new Map(foldRouting(initialConfig(store.epoch), store.readAll(0)).tenants),
        );
      } finally {
        store.close();
      }
    }
    assert.equal(new Set(acknowledged).size, acknowledged.length, 'no position is given twice');
  });
});

describe('restart', () => {
  it('finds tenants, versions and defaults as they were', async (t) => {
    const dataDir = temporaryDirectory(t);
    const open = () =>
      openCore({ dataDir, bus: createMemoryBus(), clock: systemClock, log: silentLogger });
    const before = open();
    await before.commands.handle(register('a'), META);
    await before.commands.handle(update('a', { port: 6_000 }), META);
    const { view } = await before.commands.handle(register('b'), META);
    await before.close();

    const after = open();
    t.after(() => after.close());
    assert.deepEqual(after.tenants.getTenant('b'), view);
    assert.equal(after.tenants.getTenant('a')?.version, 2);
    assert.equal(after.status().position, 3);
    const { version, position } = await after.commands.handle(update('a', { port: 1 }), META);
    assert.deepEqual([version, position], [3, 4]);
  });
});
