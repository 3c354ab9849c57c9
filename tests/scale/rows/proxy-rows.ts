/** What many tenants cost a proxy that serves few of them. */
import { spawnSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { settled } from '../../bench/settled.ts';
import type { DbbouncerProcess } from '../../support/dbbouncer-process.ts';
import { timed, timesOf } from '../figures.ts';
import { residentMemory } from '../process-memory.ts';
import type { Figure, Scale, ScaleRow } from '../scale-row.ts';
import { openStage } from '../stage.ts';
import type { StageOptions } from '../stage.ts';
import { Changes } from './changes.ts';

const GOALS = { bootSeconds: 3, megabytes: 150, swapMs: 20 };
/** Between two changes: more than a proxy's reports keep from each other. */
const CHANGES_EACH_MS = 60;
const APPLIED_WITHIN_MS = 5_000;
/** The first changes of a process are compiled while they are made: told apart. */
const WARM_UP = 20;

export const PROXY_ROWS: readonly ScaleRow[] = [
  {
    key: 'boot',
    usesLog: 'tenants',
    title: 'a proxy, from its start to its first answer of 200 at /ready, over NATS',
    measure: measureBoot,
  },
  swapRow('swap', 'control plane, NATS and proxy as processes', {}),
  swapRow('swap-normal', 'the same at durability normal', { durability: 'normal' }),
  swapRow('swap-embedded', 'both planes in one process', { planes: 'in one process' }),
];

async function measureBoot(scale: Scale): Promise<readonly Figure[]> {
  const empty = await bootOn('empty');
  const full = await bootOn(scale);
  return [
    { name: 'time to ready', value: full.seconds, unit: 's', goal: GOALS.bootSeconds },
    { name: 'time to ready without tenants', value: empty.seconds, unit: 's' },
    { name: 'memory', value: full.now, unit: 'MB' },
    { name: 'memory without tenants', value: empty.now, unit: 'MB' },
    {
      name: 'memory for the tenants',
      value: full.now - empty.now,
      unit: 'MB',
      goal: GOALS.megabytes,
    },
    { name: 'most memory while it started', value: full.peak, unit: 'MB' },
    { name: 'GET /metrics', value: full.metricsMs, unit: 'ms' },
  ];
}

async function bootOn(size: Scale | 'empty') {
  const stage = await openStage(size);
  try {
    const { ms, result: proxy } = await timed(() => stage.startProxy());
    // Until its copy on disk is written.
    await settled(proxy.pid);
    const metrics = await timed(async () => (await fetch(`${proxy.metricsUrl}/metrics`)).text());
    return { seconds: ms / 1_000, metricsMs: metrics.ms, ...residentMemory(proxy.pid) };
  } finally {
    await stage.stop();
  }
}

function swapRow(key: string, where: string, options: StageOptions): ScaleRow {
  return {
    key,
    usesLog: 'tenants',
    title: `one change of a tenant until the proxy serves it, ${where}`,
    measure: (scale) => measureSwaps(scale, options),
  };
}

async function measureSwaps(scale: Scale, options: StageOptions): Promise<readonly Figure[]> {
  const stage = await openStage(scale, { ...options, args: ['--log-level', 'debug'] });
  try {
    const proxy = await stage.startProxy();
    await settled(proxy.pid);
    // The copied log and the first snapshot, a hundred megabytes, are written to disk meanwhile.
    spawnSync('sync');
    const swaps: number[] = [];
    const answers: number[] = [];
    const waits: number[] = [];
    const changes = await Changes.of(stage, scale.tenants);
    const change = async () => {
      const beganMs = performance.now();
      await changes.next('');
      const answeredMs = performance.now() - beganMs;
      await seen(proxy, changes.position);
      const swappedMs = performance.now() - beganMs;
      await pause(CHANGES_EACH_MS);
      return { answeredMs, swappedMs };
    };
    const first = await change();
    for (let n = 1; n < WARM_UP; n += 1) await change();
    for (let n = 0; n < scale.samples; n += 1) {
      const { answeredMs, swappedMs } = await change();
      answers.push(answeredMs);
      swaps.push(swappedMs);
      waits.push((await timed(() => changes.next('&wait=applied'))).ms);
      await pause(CHANGES_EACH_MS);
    }
    const behind = swaps.map((ms, n) => ms - (answers[n] ?? NaN));
    return [
      { name: 'the first change after the start, to the swap', value: first.swappedMs, unit: 'ms' },
      ...timesOf('from the request to the swap', swaps, GOALS.swapMs),
      ...timesOf('from the request to its answer', answers),
      ...timesOf('from the answer to the swap', behind),
      ...timesOf('request to answer with ?wait=applied', waits),
    ];
  } finally {
    await stage.stop();
  }
}

/** Resolves when the proxy's own log line of the swap has arrived here. */
async function seen(proxy: DbbouncerProcess, position: number): Promise<void> {
  const line = `"position":${position},"msg":"config applied"`;
  const untilMs = performance.now() + APPLIED_WITHIN_MS;
  while (!proxy.log.includes(line)) {
    if (performance.now() > untilMs) throw new Error(`never seen: ${line}`);
    await pause(0);
  }
}
