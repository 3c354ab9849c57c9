/**
 * What a suite of the compatibility matrix is: one driver or mapper of others, and what it does
 * here as it does everywhere, each case in both pool modes.
 * Owns: the words. Leaves: servers to rig.ts, running and writing to the tests and write-matrix.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';

export const MODES: readonly PoolMode[] = ['session', 'transaction'];

/** Where a case connects: a database of the suite's own, through the proxy. */
export interface Place {
  readonly mode: PoolMode;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly url: string;
  /** Connections that may be open at a time: in transaction mode more than the server has. */
  readonly clientsMax: number;
  /** Ends every server connection, starts the database again and waits until it serves a login. */
  restartServer(): Promise<void>;
  /** Ends every server connection of this place; the database stays. */
  endConnections(): Promise<void>;
  /** Asks the server itself, past the proxy. */
  sql(text: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  /** Waits until a statement that holds `text` runs on the server. */
  untilRunning(text: string): Promise<void>;
}

export type Cases = Readonly<Record<string, (place: Place) => Promise<void>>>;
/** Why a case cannot pass in a mode; the same words stand in the document. */
export type ExpectedFailures = Readonly<Record<string, Partial<Record<PoolMode, string>>>>;

/** What every driver and mapper is for; each suite has a case of each kind. */
export const ORDINARY_WORK = [
  'schema creation',
  'prepared queries',
  'transactions',
  'errors',
  'restart of the database',
] as const;
export type OrdinaryWork = (typeof ORDINARY_WORK)[number];

export interface Suite {
  /** As people call it. */
  readonly name: string;
  /** Made of it are database and tenant: small letters, digits and single underscores. */
  readonly id: string;
  /** Of what is tested, as `name version` each. */
  readonly versions: () => string;
  /** What is not on this machine, and the package that brings it; absent: nothing is needed. */
  readonly missing?: () => string | undefined;
  readonly cases: Cases;
  /** The name of one case of each kind. */
  readonly ordinary: Readonly<Record<OrdinaryWork, string>>;
  readonly expectedFailures?: ExpectedFailures;
}

/** The versions of npm packages as they are pinned for the tests. */
export function npmVersions(...packages: readonly string[]): () => string {
  return () => packages.map((name) => `${name} ${pinned(name)}`).join(', ');
}

function pinned(name: string): string {
  const text = readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  const { dependencies, devDependencies } = JSON.parse(text) as Manifest;
  const version = dependencies[name] ?? devDependencies[name];
  if (version === undefined) throw new Error(`tests/package.json does not pin ${name}`);
  return version;
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}
