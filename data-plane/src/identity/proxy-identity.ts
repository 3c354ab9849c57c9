/**
 * Who a proxy is over its restarts: a folder `<data-dir>/proxies/<n>/` of its own, and the id kept
 * in it.
 * Owns: choosing the folder and the id. Leaves: what else is kept in the folder to config-feed/.
 * Processes that share a data directory must see each other's pids: it belongs to one machine or
 * one container.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
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
import { takeSlot } from './slot-lock.ts';

export interface ProxyIdentity {
  readonly proxyId: ProxyId;
  /** Held by this process alone until `release`. */
  readonly dir: string;
  /** Lets another process be this proxy; the files stay. */
  release(): void;
}

const SLOTS_MAX = 1_000;
const identitySchema = z.object({ proxyId: z.string().refine(isProxyId) });

/**
 * Takes the first folder that no living process holds, and the id kept there; a new folder gets a
 * new id.
 * @param configuredId wins over the kept id and is not kept itself.
 * @throws SETTINGS_INVALID the id has an unknown form, or the data directory cannot be used
 */
export function takeIdentity(dataDir: string, configuredId?: string): ProxyIdentity {
  if (configuredId !== undefined && !isProxyId(configuredId)) {
    throw sharedErrors.fail('SETTINGS_INVALID', `"${configuredId}" cannot be a proxy id`, {
      hint: 'Use 1 to 32 letters, digits, "_" or "-", beginning with a letter or digit.',
    });
  }
  try {
    for (let slot = 1; slot <= SLOTS_MAX; slot++) {
      const dir = join(dataDir, 'proxies', String(slot));
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const release = takeSlot(dir);
      if (release === undefined) continue;
      return { proxyId: configuredId ?? keptId(dir), dir, release };
    }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    const message = `Data directory "${dataDir}" cannot be used: ${reason}`;
    throw sharedErrors.fail('SETTINGS_INVALID', message, { cause });
  }
  const message = `All ${SLOTS_MAX} proxy folders in "${dataDir}" are held by living processes`;
  throw sharedErrors.fail('SETTINGS_INVALID', message);
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
