/**
 * Who a proxy is over its restarts: a folder `<data-dir>/proxies/<n>/` of its own, and the id kept
 * in it. Workers of one supervisor have its id with the number of their folder, `<id>-<n>`: each is
 * a proxy of the fleet, and one that takes another's place while that still runs is another one.
 * Owns: choosing the folder and the id. Leaves: what else is kept in the folder to config-feed/.
 * Processes that share a data directory must see each other's pids: it belongs to one machine or
 * one container.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { isProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { z } from 'zod';
import { isAbandoned, takeSlot } from './slot-lock.ts';

export interface ProxyIdentity {
  readonly proxyId: ProxyId;
  /** Held by this process alone until `release`. */
  readonly dir: string;
  /** Lets another process be this proxy; the files stay. */
  release(): void;
}

const SLOTS_MAX = 1_000;
/** Of the 32 of a proxy id; the rest is for "-" and the number of a folder. */
const FAMILY_CHARS_MAX = 27;
const identitySchema = z.object({ proxyId: z.string().refine(isProxyId) });

/**
 * Takes the first folder that no living process holds, before others one whose holder was killed,
 * and the id kept there; a new folder gets a new id.
 * @param configuredId wins over the kept id and is not kept itself.
 * @throws SETTINGS_INVALID the id has an unknown form, or the data directory cannot be used
 */
export function takeIdentity(dataDir: string, configuredId?: string): ProxyIdentity {
  if (configuredId !== undefined) requireId(configuredId);
  return takeFolder(dataDir, (dir) => configuredId ?? keptId(dir));
}

/** As `takeIdentity`, of a worker of the supervisor with id `family`. @throws SETTINGS_INVALID */
export function takeWorkerIdentity(dataDir: string, family: ProxyId): ProxyIdentity {
  return takeFolder(dataDir, (_dir, slot) => `${family}-${slot}` as ProxyId);
}

/**
 * The id of a supervisor, which its workers' ids begin with.
 * @param configuredId wins over the one that is kept in the data directory
 * @throws SETTINGS_INVALID the id has an unknown form, or the data directory cannot be used
 */
export function familyId(dataDir: string, configuredId?: string): ProxyId {
  if (configuredId === undefined) {
    return usingFolder(dataDir, () => {
      const dir = join(dataDir, 'proxies');
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      return keptId(dir);
    });
  }
  requireId(configuredId);
  if (configuredId.length <= FAMILY_CHARS_MAX) return configuredId;
  const message =
    `proxy id "${configuredId}" has ${configuredId.length} characters;` +
    ` with several workers ${FAMILY_CHARS_MAX} are allowed`;
  throw sharedErrors.fail('SETTINGS_INVALID', message, {
    hint: 'Each worker has it with "-" and a number behind it: choose a shorter one.',
  });
}

function takeFolder(dataDir: string, idOf: (dir: string, slot: number) => ProxyId): ProxyIdentity {
  const taken = usingFolder(dataDir, () => {
    for (const slot of slotsByNeed(dataDir)) {
      const dir = folderOf(dataDir, slot);
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const release = takeSlot(dir);
      if (release !== undefined) return { proxyId: idOf(dir, slot), dir, release };
    }
    return undefined;
  });
  if (taken !== undefined) return taken;
  const message = `All ${SLOTS_MAX} proxy folders in "${dataDir}" are held by living processes`;
  throw sharedErrors.fail('SETTINGS_INVALID', message);
}

/**
 * Those that were left without a word first: their ids count as lost, and what they may have of the
 * fleet's budget is nobody else's until they are back.
 */
function slotsByNeed(dataDir: string): readonly number[] {
  const all = Array.from({ length: SLOTS_MAX }, (_, index) => index + 1);
  const abandoned = all.filter((slot) => {
    const dir = folderOf(dataDir, slot);
    return existsSync(dir) && isAbandoned(dir);
  });
  return [...abandoned, ...all.filter((slot) => !abandoned.includes(slot))];
}

function folderOf(dataDir: string, slot: number): string {
  return join(dataDir, 'proxies', String(slot));
}

function requireId(configuredId: string): asserts configuredId is ProxyId {
  if (isProxyId(configuredId)) return;
  throw sharedErrors.fail('SETTINGS_INVALID', `"${configuredId}" cannot be a proxy id`, {
    hint: 'Use 1 to 32 letters, digits, "_" or "-", beginning with a letter or digit.',
  });
}

function usingFolder<T>(dataDir: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    const message = `Data directory "${dataDir}" cannot be used: ${reason}`;
    throw sharedErrors.fail('SETTINGS_INVALID', message, { cause });
  }
}

/** The id in `dir`, made when there is none; one that cannot be read is replaced. */
function keptId(dir: string): ProxyId {
  const path = join(dir, 'identity.json');
  try {
    return identitySchema.parse(JSON.parse(readFileSync(path, 'utf8'))).proxyId;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== undefined && code !== 'ENOENT') throw error;
  }
  const proxyId = newProxyId();
  writeDurably(path, JSON.stringify({ proxyId }));
  return proxyId;
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** 40 random bits: proxies of a fleet do not meet. */
function newProxyId(): ProxyId {
  const letters = Array.from(randomBytes(8), (byte) => BASE32.charAt(byte % BASE32.length));
  return `p-${letters.join('')}` as ProxyId;
}

function writeDurably(path: string, text: string): void {
  const draft = `${path}.new`;
  const file = openSync(draft, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}
