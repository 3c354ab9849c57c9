/** The drivers of JavaScript in a process of their own: prints how many answers they had. */
import { once } from 'node:events';
import { Client } from 'pg';
import postgres from 'postgres';
import type { DriverGroup, DriverPlan, Personality } from './drivers.ts';

const plan = JSON.parse(process.argv[2] ?? '') as DriverPlan;
const SQL = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1';
const ACCOUNTS = 1_000_000;

/** What one client does again and again, and how it leaves. */
interface Asking {
  readonly ask: (aid: number) => Promise<unknown>;
  readonly end: () => Promise<void>;
}

const clients = await Promise.all(plan.groups.flatMap(clientsOf));
process.stdout.write('connected\n');
await once(process.stdin, 'data');
const untilMs = performance.now() + plan.seconds * 1_000;
const counts = await Promise.all(
  clients.map(async ({ ask }, index) => {
    let answers = 0;
    for (; performance.now() < untilMs; answers += 1) {
      await ask(1 + ((index * 7_919 + answers * 104_729) % ACCOUNTS));
    }
    return answers;
  }),
);
process.stdout.write(`${counts.reduce((sum, each) => sum + each, 0)}\n`);
await Promise.all(clients.map(({ end }) => end()));
process.stdin.destroy();

function clientsOf({ driver, clients: count, personality }: DriverGroup): Promise<Asking>[] {
  const open = driver === 'postgres.js' ? openPostgresJs : openPg;
  return Array.from({ length: count }, (_, index) => {
    const mine = personality[index % personality.length];
    if (mine === undefined) throw new Error('a client needs a name and a time zone');
    return open(mine);
  });
}

/** It has no setting for the time zone: applications say SET. */
async function openPg({ applicationName, timeZone }: Personality): Promise<Asking> {
  const { host, port, login } = plan;
  const client = new Client({ host, port, ...login, application_name: applicationName });
  await client.connect();
  await client.query(`SET TIME ZONE '${timeZone}'`);
  return { ask: (aid) => client.query(SQL, [aid]), end: () => client.end() };
}

async function openPostgresJs({ applicationName, timeZone }: Personality): Promise<Asking> {
  const { host, port, login } = plan;
  const sql = postgres({
    host,
    port,
    ...login,
    max: 1,
    connection: { application_name: applicationName, TimeZone: timeZone },
  });
  await sql`SELECT 1`;
  return {
    ask: (aid) => sql`SELECT abalance FROM pgbench_accounts WHERE aid = ${aid}`,
    end: () => sql.end(),
  };
}
