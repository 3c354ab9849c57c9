/**
 * Clients that come, ask once and leave, again and again, run in this process. They keep the
 * salted password, as drivers with many connections do: what is measured is the other side's work.
 */
import { query } from '../../support/raw-client.ts';
import type { Contender } from '../contender.ts';
import { summaryOf } from '../statistics.ts';
import type { Summary } from '../statistics.ts';
import { CrowdClient } from './crowd-client.ts';

export interface ChurnPlan extends Pick<Contender, 'host' | 'port' | 'login'> {
  /** At any time. */
  readonly clients: number;
  readonly sql: string;
  readonly seconds: number;
}

export interface ChurnResult {
  readonly visits: number;
  /** From the first packet to the answer. */
  readonly latency: Summary;
}

/** @throws Error with the words of the first client that failed */
export async function runChurn(plan: ChurnPlan): Promise<ChurnResult> {
  const untilMs = performance.now() + plan.seconds * 1_000;
  const timesMs: number[] = [];
  const question = query(plan.sql);
  await Promise.all(
    Array.from({ length: plan.clients }, async () => {
      while (performance.now() < untilMs) timesMs.push(await visit(plan, question));
    }),
  );
  return { visits: timesMs.length, latency: summaryOf(timesMs) };
}

/** How long it took, in milliseconds. */
function visit({ host, port, login }: ChurnPlan, question: Buffer): Promise<number> {
  const beganMs = performance.now();
  return new Promise((resolve, reject) => {
    new CrowdClient({ host, port, localAddress: host }, login, {
      loggedIn: (client) => client.ask(question, beganMs),
      answered: (client) => {
        client.leave();
        resolve(performance.now() - beganMs);
      },
      failed: (_client, words) => reject(new Error(words)),
    });
  });
}
