/**
 * Random commands over REST against a real control plane on a real NATS, which are killed, frozen
 * and restarted meanwhile; in the end everything is held against a model of it.
 * Owns: the order of faults. Leaves: what is expected to lane-model.ts, the verdict to judge.ts.
 */
import assert from 'node:assert/strict';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { DbbouncerProcess } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { dbbouncer } from '../support/processes.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { judgeApi, judgeBus } from './judge.ts';
import { LaneModel } from './lane-model.ts';
import { MODEL_ENV, Sender } from './sender.ts';
import type { Tally } from './sender.ts';

export interface ModelRun {
  readonly seed: number;
  /** Senders at once, each with tenants of its own. */
  readonly lanes: number;
  /** Faults, in this order and again from the first. */
  readonly faults: readonly Fault[];
  readonly rounds: number;
  readonly say?: (line: string) => void;
}

/**
 * `kill`: SIGKILL at any moment. `kill_unpublished`: SIGKILL behind commits that the bus was not
 * told of, because it is frozen. `kill_nats`: of the bus. `stop`: in order.
 */
export type Fault = 'kill' | 'kill_unpublished' | 'kill_nats' | 'stop';

export interface ModelReport extends Tally {
  readonly positions: number;
  /** Events that were committed and not published when the control plane was killed. */
  readonly unpublished: number;
}

const ACKNOWLEDGED_BETWEEN_FAULTS = Object.freeze({ min: 15, max: 60 });

/** @throws Error naming the seed, for the first thing that is not as it must be. */
export async function runModel(options: ModelRun): Promise<ModelReport> {
  const nats = await startNatsServer();
  const args = ['--nats', nats.url];
  const plane = await DbbouncerProcess.start({ command: 'control-plane', args, env: MODEL_ENV });
  try {
    return await withServers(options, nats, plane);
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`with seed ${options.seed}: ${words}`, { cause });
  } finally {
    nats.resume();
    await plane.kill();
    await nats.kill();
  }
}

async function withServers(
  { seed, lanes, faults, rounds, say = () => {} }: ModelRun,
  nats: NatsServer,
  plane: DbbouncerProcess,
): Promise<ModelReport> {
  const random = new SeededRandom(seed);
  const another = () => new SeededRandom(random.between(1, 2 ** 31));
  const models = Array.from({ length: lanes }, (_, index) => {
    const owns = index === 0 ? 'tenants_and_defaults' : 'tenants';
    return new LaneModel(`lane${index}`, another(), owns);
  });
  const senders = models.map((model) => new Sender(plane, model, another()));
  const running = runLanes(senders);
  const faulty = new Faults({ random, nats, plane, senders, running });
  try {
    for (let round = 0; round < rounds; round++) {
      const fault = faults[round % faults.length] ?? 'kill';
      await faulty.happen(fault);
      say(`${round + 1} of ${rounds}: ${fault}, ${faulty.acknowledged} acknowledged`);
    }
  } finally {
    await running.stop();
  }
  const positions = await judgeApi(models, senders);
  await published(senders, positions);
  const bus = connectNatsBus({
    servers: nats.url,
    name: 'model',
    inboxPrefix: SUBJECTS.controlPlaneInbox,
    clock: systemClock,
  });
  try {
    await judgeBus(models, bus, positions);
  } finally {
    await bus.close();
  }
  const flags = ['--data-dir', plane.dataDir, '--nats', nats.url];
  const { code, stderr } = await dbbouncer(['verify', ...flags]).ended();
  assert.equal(code, 0, stderr);
  const sum = (name: keyof Tally) => senders.reduce((all, { tally }) => all + tally[name], 0);
  const { unpublished } = faulty;
  return {
    acknowledged: sum('acknowledged'),
    refused: sum('refused'),
    repeated: sum('repeated'),
    replayed: sum('replayed'),
    positions,
    unpublished,
  };
}

interface Lanes {
  /** @throws what a lane failed with, once one did */
  requireHealthy(): void;
  /** Each behind its own last answer. @throws what a lane failed with */
  stop(): Promise<void>;
}

function runLanes(senders: readonly Sender[]): Lanes {
  const life: { state: 'on' | 'over' } = { state: 'on' };
  const failures: unknown[] = [];
  const lanes = senders.map(async (sender) => {
    try {
      while (life.state === 'on') await sender.step();
    } catch (error) {
      failures.push(error);
    }
  });
  const requireHealthy = (): void => {
    if (failures.length > 0) throw failures[0];
  };
  const stop = async (): Promise<void> => {
    life.state = 'over';
    await Promise.all(lanes);
    requireHealthy();
  };
  return { requireHealthy, stop };
}

interface FaultPorts {
  readonly random: SeededRandom;
  readonly nats: NatsServer;
  readonly plane: DbbouncerProcess;
  readonly senders: readonly Sender[];
  readonly running: Lanes;
}

class Faults {
  unpublished = 0;
  readonly #ports: FaultPorts;

  constructor(ports: FaultPorts) {
    this.#ports = ports;
  }

  get acknowledged(): number {
    return this.#ports.senders.reduce((sum, { tally }) => sum + tally.acknowledged, 0);
  }

  async happen(fault: Fault): Promise<void> {
    const { nats, plane, random } = this.#ports;
    const { min, max } = ACKNOWLEDGED_BETWEEN_FAULTS;
    await this.#more(random.between(min, max));
    switch (fault) {
      case 'kill':
        await plane.kill();
        break;
      case 'stop':
        await plane.stop();
        break;
      case 'kill_nats':
        await nats.kill();
        await this.#more(min);
        await nats.start();
        return;
      case 'kill_unpublished':
        await nats.freeze();
        await this.#more(min);
        this.unpublished += await this.#notPublished();
        await plane.kill();
        nats.resume();
        break;
    }
    await plane.start();
  }

  async #more(count: number): Promise<void> {
    const enough = this.acknowledged + count;
    const isEnough = () => {
      this.#ports.running.requireHealthy();
      return this.acknowledged >= enough;
    };
    await eventually(`${count} more writes`, isEnough, { withinMs: 30_000 });
  }

  async #notPublished(): Promise<number> {
    const fleet = await this.#ports.senders[0]?.get('/fleet');
    return Number(fleet?.['position']) - Number(fleet?.['published_position']);
  }
}

async function published(senders: readonly Sender[], position: number): Promise<void> {
  await eventually(
    `all ${position} events are published`,
    async () => {
      const fleet = (await senders[0]?.get('/fleet')) ?? {};
      const { events } = fleet['publishers'] as { readonly events: { position: number } };
      return fleet['published_position'] === position && events.position === position;
    },
    { withinMs: 30_000 },
  );
}
