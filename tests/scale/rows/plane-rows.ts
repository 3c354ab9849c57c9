/** What a control plane with many tenants answers, and how long it keeps others waiting. */
import { encodeCursor } from '@dbbouncer/control-plane/api/cursor.ts';
import { timed, timesOf } from '../figures.ts';
import { tenantName } from '../made-log.ts';
import { residentMemory } from '../process-memory.ts';
import type { Figure, Scale, ScaleRow } from '../scale-row.ts';
import { openStage } from '../stage.ts';
import type { Stage } from '../stage.ts';

const FIRST_PAGE_MS = 20;
const BATCH_OPERATIONS = 200;

export const PLANE_ROWS: readonly ScaleRow[] = [
  {
    key: 'pages',
    usesLog: 'tenants',
    title: 'GET /tenants, 100 of them at a time, and other answers of the control plane',
    measure: (scale) => onStage(scale, measurePages),
  },
  {
    key: 'past',
    usesLog: 'whole',
    title: 'GET /config?at=, /config/diff and /tenants/{id}/history, and GET /health beside them',
    measure: (scale) => onStage(scale, measurePast),
  },
  {
    key: 'batch',
    usesLog: 'tenants',
    title: `POST /tenants:batch, ${BATCH_OPERATIONS} new tenants each, one after the other`,
    measure: measureBatches,
  },
];

async function onStage(
  scale: Scale,
  measure: (stage: Stage, scale: Scale) => Promise<readonly Figure[]>,
): Promise<readonly Figure[]> {
  const stage = await openStage(scale);
  try {
    return await measure(stage, scale);
  } finally {
    await stage.stop();
  }
}

async function measurePages(stage: Stage, { tenants, samples }: Scale) {
  const last = encodeCursor(tenantName(Math.max(0, tenants - 100)));
  const paths: readonly (readonly [string, string, number?])[] = [
    ['first page', '/tenants', FIRST_PAGE_MS],
    ['last page', `/tenants?cursor=${last}`],
    ['page of a search', `/tenants?search=app_${tenants - 1}`],
    ['page of a search that finds nothing', '/tenants?search=nowhere'],
    ['one tenant', `/tenants/${tenantName(tenants - 1)}`],
  ];
  const figures: Figure[] = [];
  for (const [name, path, goal] of paths) {
    figures.push(...timesOf(name, await asked(stage, path, samples), goal));
  }
  const memory = residentMemory(stage.plane.pid);
  return [
    ...figures,
    { name: 'memory of the control plane', value: memory.now, unit: 'MB' } as const,
  ];
}

async function measurePast(stage: Stage, { tenants, events, samples }: Scale) {
  const middle = Math.floor(events / 2);
  const paths: readonly (readonly [string, string])[] = [
    ['config of half the log ago', `/config?at=${middle}`],
    ['difference to half the log ago', `/config/diff?from=${middle}&to=${events}`],
    ['history of a tenant', `/tenants/${tenantName(Math.floor(tenants / 2))}/history`],
    ['events of an actor', '/events?actor=scale'],
  ];
  const figures: Figure[] = [];
  for (const [name, path] of paths) {
    const work = asked(stage, path, Math.ceil(samples / 10));
    const others = await healthDuring(stage, work);
    figures.push(...timesOf(name, await work), ...timesOf('  health meanwhile', others));
  }
  return figures;
}

async function healthDuring(stage: Stage, work: Promise<unknown>): Promise<readonly number[]> {
  const over = work.then(() => 'over' as const);
  const underWay = Promise.resolve('under way' as const);
  const times: number[] = [];
  do times.push((await timed(() => stage.call('GET', '/health'))).ms);
  while ((await Promise.race([over, underWay])) !== 'over');
  return times;
}

async function measureBatches({ tenants }: Scale): Promise<readonly Figure[]> {
  const stage = await openStage('empty');
  try {
    const times: number[] = [];
    const { ms } = await timed(async () => {
      for (let made = 0; made < tenants; made += BATCH_OPERATIONS) {
        const body = {
          operations: registrations(made, Math.min(tenants, made + BATCH_OPERATIONS)),
        };
        times.push((await timed(() => stage.call('POST', '/tenants:batch', body))).ms);
      }
    });
    return [
      { name: 'tenants made', value: (tenants / ms) * 1_000, unit: '/s' },
      ...timesOf('one batch', times),
    ];
  } finally {
    await stage.stop();
  }
}

function registrations(from: number, to: number) {
  return Array.from({ length: to - from }, (_, n) => {
    const index = from + n;
    const place = { db_type: 'postgres', host: `pg-${index % 300}.internal`, port: 5432 };
    const login = { dbname: `app_${index}`, username: `app_${index}`, password: 'a password' };
    return { op: 'create', id: tenantName(index), body: { ...place, ...login } };
  });
}

async function asked(stage: Stage, path: string, times: number): Promise<readonly number[]> {
  const taken: number[] = [];
  await stage.call('GET', path);
  for (let n = 0; n < times; n += 1) {
    taken.push((await timed(() => stage.call('GET', path))).ms);
  }
  return taken;
}
