/**
 * psycopg 3 and psycopg2, the drivers of Python, as the system's packages bring them.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { PROGRAMS, programCases } from '../program.ts';
import type { Suite } from '../suite.ts';

/** Packages of the system are found by its own Python alone. */
const PYTHONS = ['/usr/bin/python3', 'python3'];

interface Driver {
  readonly name: string;
  readonly id: string;
  /** As Python imports it. */
  readonly module: string;
  readonly package: string;
}

interface Installed {
  readonly python: string;
  readonly versions: string;
}

function suiteOf(driver: Driver, preparedCase: string): Suite {
  const source = `${driver.id}_suite.py`;
  let installed: Installed | 'nowhere' | undefined;
  const find = (): Installed | undefined => {
    installed ??= look(driver) ?? 'nowhere';
    return installed === 'nowhere' ? undefined : installed;
  };
  return {
    name: driver.name,
    id: driver.id,
    versions: () => find()?.versions ?? 'not here',
    missing: () => (find() === undefined ? `needs the package ${driver.package}` : undefined),
    cases: programCases(source, () => ({
      command: find()?.python ?? '',
      // Without -B it would leave compiled files beside its source.
      args: ['-B', join(PROGRAMS, source)],
    })),
    ordinary: {
      'schema creation': 'creates a schema with its tables, types, indexes, views and functions',
      'prepared queries': preparedCase,
      transactions: 'commits, rolls back, and goes back to a savepoint',
      errors: 'reads errors with code, table and constraint, and goes on',
      'restart of the database': 'connects again after the database restarted',
    },
  };
}

function look({ module }: Driver): Installed | undefined {
  const text = `import platform, ${module}
print("${module}", ${module}.__version__.split()[0] + ", Python", platform.python_version())`;
  for (const python of PYTHONS) {
    try {
      const versions = execFileSync(python, ['-c', text], { encoding: 'utf8', stdio: 'pipe' });
      return { python, versions: versions.trim() };
    } catch {
      // Not this one: there is no such program, or it has no such module.
    }
  }
  return undefined;
}

export const psycopg3Suite = suiteOf(
  { name: 'psycopg 3', id: 'psycopg3', module: 'psycopg', package: 'python3-psycopg' },
  'prepares a statement at its fifth use, over as many connections as it may open',
);
export const psycopg2Suite = suiteOf(
  { name: 'psycopg2', id: 'psycopg2', module: 'psycopg2', package: 'python3-psycopg2' },
  'runs a statement that SQL has prepared, and gives it up',
);
