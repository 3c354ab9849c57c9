/**
 * A nats-server for one test file, and buses connected to it.
 */
import { after, before } from 'node:test';
import type { Bus, BusLog, BusStatus } from '@dbbouncer/shared/bus/bus.ts';
import { bytes } from '@dbbouncer/shared/bus/support.contract.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';

/** Started before the tests of the file that imports this, stopped after them. */
export let server: NatsServer;
before(async () => {
  server = await startNatsServer();
});
after(() => server.stop());

export function openBus(options: { readonly operationTimeoutMs?: number } = {}): Bus {
  return connectNatsBus({ servers: server.url, name: 'test', reconnectDelayMs: 40, ...options });
}

export async function reached(bus: Bus, wanted: BusStatus): Promise<void> {
  if (bus.status === wanted) return;
  await new Promise<void>((resolve) => {
    const listening = bus.onStatus((status) => {
      if (status !== wanted) return;
      listening.close();
      resolve();
    });
  });
}

export async function connectedBus(): Promise<Bus> {
  const bus = openBus();
  await reached(bus, 'connected');
  return bus;
}

/** Runs `work` with a connected bus; afterwards it is closed and the server runs again. */
export function withBus(work: (bus: Bus) => Promise<void>): () => Promise<void> {
  return async () => {
    const bus = await connectedBus();
    try {
      await work(bus);
    } finally {
      await bus.close();
      await server.start();
    }
  };
}

/** What a publisher does: the same id again until it is stored. @throws the error after 20 s */
export async function appendUntilStored(log: BusLog, n: number): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      await log.append(`id-${n}`, bytes(String(n)));
      return;
    } catch (error) {
      const isLate = performance.now() > deadline;
      if (isLate || (error as { code?: string }).code !== 'BUS_UNAVAILABLE') throw error;
    }
  }
}

export const upTo = (last: number): string[] =>
  Array.from({ length: last }, (_, index) => `${index + 1}:${index + 1}`);
