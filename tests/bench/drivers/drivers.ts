/**
 * Clients of real drivers, in processes of their own: each asks for one account, by its number as
 * a parameter, as soon as it is answered.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Contender } from '../contender.ts';

export interface Personality {
  readonly applicationName: string;
  readonly timeZone: string;
}

export interface DriverGroup {
  readonly driver: 'pg' | 'postgres.js' | 'psycopg';
  readonly clients: number;
  /** Dealt to the clients in turn. */
  readonly personality: readonly Personality[];
}

export interface DriverPlan extends Pick<Contender, 'host' | 'port' | 'login'> {
  readonly groups: readonly DriverGroup[];
  readonly seconds: number;
}

const NODE_MAIN = join(import.meta.dirname, 'drivers-main.ts');
const PYTHON_MAIN = join(import.meta.dirname, 'psycopg_load.py');
/** Packages of the system are found by its own Python alone. */
const PYTHONS = ['/usr/bin/python3', 'python3'];

export interface Drivers {
  /** Lets them ask for that long, and counts their answers. @throws Error with a driver's words */
  ask(): Promise<number>;
}

/**
 * Returns when all are connected. Where Python has no psycopg, pg plays its clients.
 * @throws Error with a driver's words
 */
export async function connectDrivers(
  { host, port, login }: Contender,
  groups: readonly DriverGroup[],
  seconds: number,
): Promise<Drivers> {
  const python = await pythonWithPsycopg();
  const inPython = (group: DriverGroup) => python !== undefined && group.driver === 'psycopg';
  const plan = { host, port, login, seconds };
  const [ours, theirs] = [groups.filter((each) => !inPython(each)), groups.filter(inPython)];
  const programs = [await start(process.execPath, NODE_MAIN, { ...plan, groups: ours })];
  if (python !== undefined) {
    programs.push(await start(python, PYTHON_MAIN, { ...plan, groups: theirs }));
  }
  return {
    ask: async () => {
      const counts = await Promise.all(programs.map(({ ask }) => ask()));
      return counts.reduce((sum, each) => sum + each, 0);
    },
  };
}

/**
 * Both programs take a plan as JSON, say a line when they are connected, wait for one, and print
 * how many answers they had.
 */
async function start(
  program: string,
  main: string,
  plan: DriverPlan,
): Promise<{ readonly ask: () => Promise<number> }> {
  const child = spawn(program, [main, JSON.stringify(plan)]);
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(words);
    return value;
  };
  await next();
  return {
    ask: async () => {
      const closed = once(child, 'close');
      child.stdin.write('ask\n');
      const count = Number(await next());
      await closed;
      return count;
    },
  };
}

let found: Promise<string | undefined> | undefined;

function pythonWithPsycopg(): Promise<string | undefined> {
  found ??= (async () => {
    for (const python of PYTHONS) {
      const look = promisify(execFile)(python, ['-c', 'import psycopg']);
      if (await look.then(() => true).catch(() => false)) return python;
    }
    return undefined;
  })();
  return found;
}
