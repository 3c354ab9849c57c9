/**
 * The JDBC driver of PostgreSQL, as the system's packages bring it, with its Java.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROGRAMS, programCases } from '../program.ts';
import type { Launch } from '../program.ts';
import type { Suite } from '../suite.ts';
import { NEW_SHAPE } from './support.ts';

const DRIVER = '/usr/share/java/postgresql.jar';

let java: { readonly version: string | undefined } | undefined;

/** Java's version; nothing where there is no compiler, or no driver. */
function javaVersion(): string | undefined {
  java ??= { version: lookForJava() };
  return java.version;
}

function lookForJava(): string | undefined {
  if (!existsSync(DRIVER)) return undefined;
  try {
    const text = execFileSync('javac', ['-version'], { encoding: 'utf8', stdio: 'pipe' });
    return text.trim().split(' ')[1];
  } catch {
    // There is none.
    return undefined;
  }
}

/** The manifest says it; the file's name does not everywhere. */
function driverVersion(): string {
  const text = execFileSync('unzip', ['-p', DRIVER, 'META-INF/MANIFEST.MF'], { encoding: 'utf8' });
  return /^Implementation-Version: (\S+)/m.exec(text)?.[1] ?? 'of unknown version';
}

let compiled: string | undefined;

/** Compiles once in a process, which takes the result along when it ends. */
function launch(): Launch {
  compiled ??= compile();
  // What is short-lived starts faster so, and none of it is hot.
  const quick = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto'];
  const args = [...quick, '-cp', `${compiled}:${DRIVER}`, 'JdbcSuite'];
  return { command: 'java', args };
}

function compile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dbbouncer-jdbc-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const sources = readdirSync(PROGRAMS).filter((name) => name.endsWith('.java'));
  const paths = sources.map((name) => join(PROGRAMS, name));
  execFileSync('javac', ['-encoding', 'UTF-8', '-d', folder, '-cp', DRIVER, ...paths], {
    stdio: 'pipe',
  });
  return folder;
}

export const jdbcSuite: Suite = {
  name: 'JDBC',
  id: 'jdbc',
  versions: () => `org.postgresql ${driverVersion()}, Java ${javaVersion() ?? 'not here'}`,
  missing: () =>
    javaVersion() === undefined
      ? 'needs the packages libpostgresql-jdbc-java and default-jdk-headless'
      : undefined,
  cases: programCases('JdbcSuite.java', launch),
  ordinary: {
    'schema creation': 'creates a schema with its tables, types, indexes, views and functions',
    'prepared queries':
      'prepares a statement at its fifth use, over as many connections as it may open',
    transactions: 'commits, rolls back, and goes back to a savepoint',
    errors: 'reads errors with code, table and constraint, and goes on',
    'restart of the database': 'connects again after the database restarted',
  },
  expectedFailures: {
    'heals a prepared statement whose table has changed, in its transaction, by autosave': {
      transaction: NEW_SHAPE,
    },
  },
};
