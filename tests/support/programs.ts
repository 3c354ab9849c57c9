/** Programs of the system that the comparison needs, found once. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './processes.ts';

export interface Programs {
  readonly pgbench: string;
  readonly psql: string;
}

/** @throws Error that names what to install */
export async function findPrograms(): Promise<Programs> {
  return { pgbench: await find('pgbench'), psql: await find('psql') };
}

/** Debian keeps the newest version's where PATH does not lead. */
async function find(name: string): Promise<string> {
  const debian = '/usr/lib/postgresql';
  const candidates = [
    name,
    ...versionsIn(debian).map((version) => join(debian, version, 'bin', name)),
  ];
  for (const candidate of candidates) {
    const runs = await promisify(execFile)(candidate, ['--version']).catch(() => undefined);
    if (runs !== undefined) return candidate;
  }
  const script = join(ROOT, 'tests', 'system-packages.sh');
  throw new Error(`${name} is not here; ${script} installs it`);
}

function versionsIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted().toReversed();
  } catch {
    return [];
  }
}
