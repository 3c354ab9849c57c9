/**
 * What can befall a fleet: how each accident is done, and how it ends. What nobody mends here is
 * brought back by the stage afterwards.
 */
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { childrenOf } from '../support/process-sockets.ts';
import { eventually } from '../support/eventually.ts';
import type { Member, Stage } from './stage.ts';

export interface Accident {
  readonly key: string;
  /** For the table. */
  readonly title: string;
  /** It lasts so long; 0: it is over at once. */
  readonly lastsMs: number;
  readonly happen: (stage: Stage) => Promise<void> | void;
  /** Besides what the stage mends of itself. */
  readonly end?: (stage: Stage) => Promise<void> | void;
  /** What must show in the fleet afterwards; says what does not. */
  readonly shows?: (stage: Stage) => Promise<string | undefined>;
  /** What clients may read; every other failure is one of the drill. */
  readonly mayFailWith: readonly string[];
}

/** The connection is lost, and nobody accepts another one there. */
const LOST = ['cut off', 'ECONNRESET', 'ECONNREFUSED', 'EPIPE'] as const;
const DATABASE_AWAY = ['57P01', '57P02', '57P03', '08006', '08001', '53300'] as const;
/** The part of the budget that a proxy has is used up, and nobody is there to give it more. */
const NO_SLOT = ['53300'] as const;
/** No answer within the client's own patience. */
const SILENCE = 'silence';
const SLOW_MS = 300;

export const ACCIDENTS: readonly Accident[] = [
  {
    key: 'proxy-killed',
    title: '`kill -9` of a proxy, started again after 5 s',
    lastsMs: 5_000,
    happen: (stage) => first(stage).process.kill(),
    mayFailWith: [...LOST, ...NO_SLOT],
  },
  {
    key: 'proxy-stopped',
    title: 'a proxy stopped (SIGSTOP) for 8 s',
    lastsMs: 8_000,
    happen: (stage) => stage.freeze(first(stage).process),
    mayFailWith: [SILENCE, ...LOST, ...NO_SLOT, '08006'],
  },
  {
    key: 'proxies-restarted',
    title: 'the three proxies restarted one after the other (SIGTERM)',
    lastsMs: 0,
    happen: async (stage) => {
      for (const { process } of stage.proxies) await process.restart();
    },
    mayFailWith: [...LOST, ...NO_SLOT, '57P01'],
  },
  {
    key: 'worker-killed',
    title: '`kill -9` of a worker of a proxy with two',
    lastsMs: 2_000,
    happen: (stage) => signal(workerOf(stage), 'SIGKILL'),
    mayFailWith: [...LOST, ...NO_SLOT],
  },
  {
    key: 'worker-stopped',
    title: 'a worker of two stopped (SIGSTOP), which its supervisor kills after 3 s',
    lastsMs: 5_000,
    happen: (stage) => signal(workerOf(stage), 'SIGSTOP'),
    mayFailWith: [SILENCE, ...LOST, ...NO_SLOT],
  },
  {
    key: 'leader-killed',
    title: '`kill -9` of the control plane that leads, started again after 8 s',
    lastsMs: 8_000,
    happen: async (stage) => (await stage.leader()).process.kill(),
    mayFailWith: NO_SLOT,
  },
  {
    key: 'leader-stopped',
    title: 'the control plane that leads stopped (SIGSTOP) for 12 s',
    lastsMs: 12_000,
    happen: async (stage) => stage.freeze((await stage.leader()).process),
    mayFailWith: NO_SLOT,
  },
  {
    key: 'control-planes-killed',
    title: '`kill -9` of both control planes, started again after 8 s',
    lastsMs: 8_000,
    happen: async ({ controlPlanes }) => {
      await Promise.all(controlPlanes.map((plane) => plane.process.kill()));
    },
    mayFailWith: NO_SLOT,
  },
  {
    key: 'nats-node-killed',
    title: '`kill -9` of one NATS server of three, started again after 5 s',
    lastsMs: 5_000,
    happen: async (stage) => stage.nats[0]?.kill(),
    mayFailWith: NO_SLOT,
  },
  {
    key: 'nats-node-stopped',
    title: 'one NATS server of three stopped (SIGSTOP) for 8 s',
    lastsMs: 8_000,
    happen: async (stage) => stage.nats[1]?.freeze(),
    mayFailWith: NO_SLOT,
  },
  {
    key: 'nats-killed',
    title: '`kill -9` of all NATS servers, started again after 8 s',
    lastsMs: 8_000,
    happen: async (stage) => {
      await Promise.all(stage.nats.map((server) => server.kill()));
    },
    mayFailWith: NO_SLOT,
  },
  {
    key: 'database-killed',
    title: '`kill -9` of the database, started again after 2 s',
    lastsMs: 2_000,
    happen: (stage) => stage.database.kill(),
    mayFailWith: DATABASE_AWAY,
  },
  {
    key: 'proxy-cut-off',
    title: 'a proxy cut off from NATS for 10 s',
    lastsMs: 10_000,
    happen: (stage) => first(stage).network.cut(),
    mayFailWith: NO_SLOT,
  },
  {
    key: 'leader-cut-off',
    title: 'the control plane that leads cut off from NATS for 10 s',
    lastsMs: 10_000,
    happen: async (stage) => (await stage.leader()).network.cut(),
    mayFailWith: NO_SLOT,
  },
  {
    key: 'network-slow',
    title: `every message to and from NATS ${SLOW_MS} ms late for 10 s`,
    lastsMs: 10_000,
    happen: (stage) => {
      for (const { network } of [...stage.controlPlanes, ...stage.proxies]) network.slow(SLOW_MS);
    },
    mayFailWith: NO_SLOT,
  },
  {
    key: 'deltas-purged',
    title: 'the stream of config deltas purged by hand',
    lastsMs: 0,
    happen: async ({ bus }) => {
      const subject = `$JS.API.STREAM.PURGE.${SUBJECTS.configStream}`;
      await bus.request(subject, new Uint8Array(), 5_000);
    },
    mayFailWith: NO_SLOT,
  },
  {
    key: 'delta-poisoned',
    title: 'a delta that nobody can read, published by hand; every proxy refuses it',
    lastsMs: 0,
    happen: (stage) => stage.bus.publish(SUBJECTS.configDelta, text('{"epoch":1,"from":')),
    shows: refusedByAll,
    mayFailWith: NO_SLOT,
  },
  {
    key: 'delta-forged',
    title: 'a forged delta that takes every tenant away; every proxy refuses it',
    lastsMs: 0,
    happen: async (stage) => {
      const { position: from, epoch } = await (await stage.leader()).api.fleet();
      const changes = ['north', 'south', 'small'].map((id) => ({ kind: 'tenant_removed', id }));
      const delta = { epoch, from, to: from + 1, changes };
      stage.bus.publish(SUBJECTS.configDelta, text(JSON.stringify(delta)));
    },
    shows: refusedByAll,
    mayFailWith: NO_SLOT,
  },
];

/** Each proxy reports one refusal more than it had before. */
async function refusedByAll(stage: Stage): Promise<string | undefined> {
  const { api } = await stage.leader();
  const { refusals } = stage;
  const { proxies } = await api.fleet();
  for (const { id } of proxies.filter(({ status }) => status === 'live')) {
    const known = refusals.get(id) ?? 0;
    const count = await eventually(`${id} reports what it refused`, async () => {
      const { rejections } = await api.get(`/fleet/${id}`);
      const { length } = rejections as readonly unknown[];
      return length > known ? length : undefined;
    }).catch(() => undefined);
    if (count === undefined) return `${id} reports no refusal`;
    refusals.set(id, count);
  }
  return undefined;
}

function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}

function workerOf({ proxies }: Stage): number {
  const supervisor = proxies.at(-1)?.process;
  const [worker] = supervisor === undefined ? [] : childrenOf(supervisor.pid);
  if (worker === undefined) throw new Error('the last proxy has no worker');
  return worker;
}

function first(stage: Stage): Member {
  const [proxy] = stage.proxies;
  if (proxy === undefined) throw new Error('there is no proxy');
  return proxy;
}

const text = (words: string): Uint8Array => new TextEncoder().encode(words);
