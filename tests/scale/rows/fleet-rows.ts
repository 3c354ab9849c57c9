/** What a change and a report cost where there are many proxies. */
import { setTimeout as pause } from 'node:timers/promises';
import { cpuUs } from '../../bench/contender.ts';
import { settled } from '../../bench/settled.ts';
import { timesOf } from '../figures.ts';
import { FleetProcesses } from '../fleet/fleet-processes.ts';
import { machineMs } from '../fleet/machine-ms.ts';
import type { Figure, Scale, ScaleRow } from '../scale-row.ts';
import { openStage } from '../stage.ts';
import type { Stage } from '../stage.ts';
import { Changes } from './changes.ts';

const GOALS = { appliedMs: 250 };
const PROCESSES = 2;
const CHANGES_EACH_MS = 100;
const APPLIED_WITHIN_MS = 10_000;
const QUIET_MS = 20_000;
/** What the figures are carried on to. */
const PROXIES_WANTED = 1_000;

export const FLEET_ROWS: readonly ScaleRow[] = [
  {
    key: 'fleet',
    usesLog: 'tenants',
    title: 'one change of a tenant until every proxy of a fleet serves it, over NATS',
    measure: measureFleet,
  },
];

async function measureFleet(scale: Scale): Promise<readonly Figure[]> {
  const { proxies } = scale;
  const stage = await openStage(scale);
  try {
    const changes = await Changes.of(stage, scale.tenants);
    const alone = await measureCosts(scale, stage, changes, async () => {});
    const fleet = await FleetProcesses.start(stage.natsUrl, { proxies, processes: PROCESSES });
    try {
      await Promise.all(fleet.pids.map((pid) => settled(pid)));
      const times: number[] = [];
      const costs = await measureCosts(scale, stage, changes, async (beganMs) => {
        times.push((await appliedByAll(fleet, changes.position)) - beganMs);
      });
      return [
        ...timesOf(`from the request to the swap on all ${proxies}`, times, GOALS.appliedMs),
        ...figuresOf(alone, costs, proxies),
      ];
    } finally {
      await fleet.stop();
    }
  } finally {
    await stage.stop();
  }
}

/** Of the control plane's process. */
interface Costs {
  /** CPU of a second in which nothing changes. */
  readonly restUs: number;
  /** CPU of a change, that of the time it takes left out. */
  readonly changeUs: number;
}

function figuresOf(alone: Costs, fleet: Costs, proxies: number): readonly Figure[] {
  const secondUs = (fleet.restUs - alone.restUs) / proxies;
  const reportUs = (fleet.changeUs - alone.changeUs) / proxies;
  const restOfCore = (alone.restUs + secondUs * PROXIES_WANTED) / 1e4;
  const changeMs = (alone.changeUs + reportUs * PROXIES_WANTED) / 1e3;
  return [
    { name: 'control plane, CPU of what a proxy says in a second', value: secondUs, unit: 'us' },
    { name: 'control plane, CPU of a change without proxies', value: alone.changeUs, unit: 'us' },
    { name: 'and for each proxy that applies it', value: reportUs, unit: 'us' },
    { name: `of a core, for ${PROXIES_WANTED} proxies at rest`, value: restOfCore, unit: '%' },
    { name: `CPU of a change with ${PROXIES_WANTED} proxies`, value: changeMs, unit: 'ms' },
  ];
}

async function measureCosts(
  { samples }: Scale,
  stage: Stage,
  changes: Changes,
  follow: (beganMs: number) => Promise<void>,
): Promise<Costs> {
  const { pid } = stage.plane;
  const restUs = await cpuOf(pid, () => pause(QUIET_MS));
  const seconds = { whole: 0 };
  const spentUs = await cpuOf(pid, async () => {
    const startMs = machineMs();
    for (let n = 0; n < samples; n += 1) {
      const beganMs = machineMs();
      await changes.next('');
      await follow(beganMs);
      await pause(CHANGES_EACH_MS);
    }
    seconds.whole = (machineMs() - startMs) / 1_000;
  });
  const restUsPerSecond = restUs / (QUIET_MS / 1_000);
  const changeUs = (spentUs - restUsPerSecond * seconds.whole) / samples;
  return { restUs: restUsPerSecond, changeUs };
}

async function cpuOf(pid: number, work: () => Promise<unknown>): Promise<number> {
  const beforeUs = cpuUs(pid);
  await work();
  return cpuUs(pid) - beforeUs;
}

async function appliedByAll(fleet: FleetProcesses, position: number): Promise<number> {
  const untilMs = machineMs() + APPLIED_WITHIN_MS;
  for (;;) {
    const atMs = fleet.appliedAtMs(position);
    if (atMs !== undefined) return atMs;
    if (machineMs() > untilMs) throw new Error(`not all proxies have applied ${position}`);
    await pause(1);
  }
}
