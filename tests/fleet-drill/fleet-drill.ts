/**
 * Accidents that befall a fleet while clients work: which requests fail with what, for how long,
 * how many server connections there are meanwhile, and when all is well again.
 * Owns: the order of things, what must hold. Leaves: the fleet to stage.ts, accidents to
 * accidents.ts, words to report.ts.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import type { Accident } from './accidents.ts';
import { ConnectionSampler } from './connection-sampler.ts';
import { FleetLoad } from './fleet-load.ts';
import { CALM_MS, RequestBook } from './request-book.ts';
import { Stage } from './stage.ts';
import { capOf, roleOf, tenantOf, TENANTS } from './tenants.ts';

export interface FleetDrillOptions {
  readonly accidents: readonly Accident[];
  readonly clients: number;
  readonly restMs: number;
  /** In the place of what an accident says, for a short form. */
  readonly lastsMsMax?: number;
  /** Told while it goes on. */
  readonly say?: (text: string) => void;
  readonly onOutcome?: (outcome: Outcome) => void;
}

export interface Outcome {
  readonly accident: Accident;
  readonly requests: number;
  /** How many of them failed, by what was asked and what was read. */
  readonly failures: ReadonlyMap<string, number>;
  /** From the first failure to the last one. */
  readonly failingMs: number;
  readonly slowestMs: number;
  /** By tenant, the most server connections at one moment. */
  readonly most: ReadonlyMap<string, number>;
  /** From its beginning until everybody was served and nothing failed any more. */
  readonly servedMs: number;
  /** From its end until a change was taken and had reached every proxy. */
  readonly changesMs: number;
  /** What should not have been; nothing when all held. */
  readonly broken: readonly string[];
}

export interface FleetDrillReport {
  readonly outcomes: readonly Outcome[];
  readonly clients: number;
  readonly samples: number;
  /** Writes that were acknowledged, each of which is there once. */
  readonly committed: number;
}

const NORMAL_WITHIN_MS = 90_000;

export async function fleetDrill(options: FleetDrillOptions): Promise<FleetDrillReport> {
  const stage = await Stage.set();
  const { clients, say = () => {} } = options;
  const book = new RequestBook(clients);
  const proxies = stage.proxies.map(({ process }) => ({
    host: process.host,
    port: process.postgresPort,
  }));
  const sampler = new ConnectionSampler(stage.database);
  const load = new FleetLoad({ ...options, proxies, tenantOf, book });
  try {
    const outcomes: Outcome[] = [];
    for (const accident of options.accidents) {
      await calm(book);
      load.spread();
      await pause(CALM_MS);
      await calm(book);
      say(`${accident.key}: ${accident.title}`);
      const outcome = await suffer(accident, { stage, book, sampler }, options);
      for (const words of outcome.broken) say(`  BROKEN: ${words}`);
      outcomes.push(outcome);
      options.onOutcome?.(outcome);
    }
    await calm(book);
    await load.end();
    const broken = await lostWrites(stage, book);
    assert.deepEqual([...broken, ...book.faults.slice(0, 10)], []);
    const committed = [...book.acknowledged.values()].reduce((sum, { length }) => sum + length, 0);
    return { outcomes, clients, samples: sampler.samples, committed };
  } finally {
    await load.end();
    await sampler.stop();
    await stage.strike();
  }
}

interface World {
  readonly stage: Stage;
  readonly book: RequestBook;
  readonly sampler: ConnectionSampler;
}

async function suffer(
  accident: Accident,
  { stage, book, sampler }: World,
  { lastsMsMax = Infinity }: FleetDrillOptions,
): Promise<Outcome> {
  sampler.takeMost();
  book.takeSlowest();
  const answersBefore = book.answers;
  const beganMs = performance.now();
  await accident.happen(stage);
  const lastsMs = Math.min(accident.lastsMs, lastsMsMax);
  await pause(lastsMs / 2);
  // What happens meanwhile has to reach everybody afterwards; nobody may be there to take it.
  if (lastsMs > 0) void stage.change().catch(() => {});
  await pause(lastsMs / 2);
  await accident.end?.(stage);
  const endedMs = performance.now();
  await stage.mend();
  const changed = stage.wellAgain().then(() => performance.now() - endedMs);
  const [changesMs] = await Promise.all([changed, calm(book)]);
  const unseen = await accident.shows?.(stage);
  const failed = book.failuresSince(beganMs);
  const outcome = {
    accident,
    requests: book.answers - answersBefore + failed.length,
    failures: countBy(failed, ({ what, code }) => `${what} ${code}`),
    failingMs: (failed.at(-1)?.endedMs ?? 0) - (failed[0]?.endedMs ?? 0),
    slowestMs: book.takeSlowest(),
    most: sampler.takeMost(),
    servedMs: Math.max(0, book.backMs() - beganMs),
    changesMs,
  };
  const unexplained = countBy(
    failed.filter(({ code }) => !accident.mayFailWith.includes(code)),
    ({ what, code }) => `${what} ${code}`,
  );
  return {
    ...outcome,
    broken: [
      ...wordsOf(unexplained),
      ...overCap(outcome.most),
      ...(unseen === undefined ? [] : [unseen]),
    ],
  };
}

async function calm(book: RequestBook): Promise<void> {
  const told = { withinMs: NORMAL_WITHIN_MS, onFailure: () => book.describe() };
  await eventually('everybody is served and nothing fails', () => book.isCalm(), told);
}

function wordsOf(unexplained: ReadonlyMap<string, number>): string[] {
  return Array.from(unexplained, ([what, count]) => `${count} × ${what} is not explained by it`);
}

function overCap(most: ReadonlyMap<string, number>): string[] {
  return TENANTS.flatMap((tenant) => {
    const count = most.get(roleOf(tenant.id)) ?? 0;
    const cap = capOf(tenant);
    return count <= cap
      ? []
      : [`${tenant.id} had ${count} connections, of ${cap} that it may have`];
  });
}

/** Acknowledged rows that are not there, or twice. */
async function lostWrites(stage: Stage, book: RequestBook): Promise<readonly string[]> {
  const lost: string[] = [];
  for (const [tenant, tokens] of book.acknowledged) {
    const rows = await stage.database.sql(tenant, 'SELECT row FROM drill');
    const kept = countBy(rows, ({ row }) => String(row));
    lost.push(...tokens.filter((token) => kept.get(token) !== 1).map((token) => `${token} lost`));
  }
  return lost.slice(0, 10);
}

function countBy<Item>(items: readonly Item[], key: (item: Item) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
