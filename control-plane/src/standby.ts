/**
 * What a control plane needs to stand beside others on one bus: who it is there, where they reach
 * it, and what must be the same in all of them.
 * Leaves: taking turns to replication/.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { createSecretFile } from '@dbbouncer/shared/secrets/secret-file.ts';
import type { Standing } from './core.ts';
import { lastLease, leaderOn } from './replication/no-leader.ts';
import { leaseMarks } from './replication/lease-record.ts';
import type { ControlPlaneSettings } from './settings.ts';

const ID = /^[a-z0-9-]{1,64}$/;
const MARK_PURPOSE = 'leader-lease';
/** A bus that is away is no reason not to start. */
const BUS_WITHIN_MS = 1_500;

/** Nothing for a control plane that writes alone. @throws SETTINGS_INVALID for a file with no id */
export function standingOf(
  { durability, dataDir, leaderLeaseMs: leaseMs }: ControlPlaneSettings,
  keyring: Keyring,
): Standing | undefined {
  if (durability !== 'replicated') return undefined;
  const own = keyring.deriveFleetSecret(MARK_PURPOSE);
  const all = keyring.deriveFleetSecrets(MARK_PURPOSE);
  return { id: idIn(dataDir), leaseMs, marks: leaseMarks([own, ...all]) };
}

function idIn(dataDir: string): string {
  const file = join(dataDir, 'control-plane.id');
  createSecretFile(file, () => `cp-${randomBytes(4).toString('hex')}`);
  const id = readFileSync(file, 'utf8').trim();
  if (ID.test(id)) return id;
  throw sharedErrors.fail('SETTINGS_INVALID', `${file} holds no id of a control plane.`, {
    hint: 'Remove it to have one made.',
  });
}

/** Where the others reach the API. @param own as seen from this machine */
export function advertisedUrl({ apiUrl, host }: ControlPlaneSettings, own: string): string {
  if (apiUrl !== undefined) return apiUrl.replace(/\/$/, '');
  if (host !== '0.0.0.0' && host !== '::') return own;
  const url = new URL(own);
  url.hostname = hostname();
  return url.origin;
}

/**
 * Holds this control plane against the one that leads, where the bus can be asked.
 * @throws SETTINGS_INVALID when they cannot run beside each other.
 */
export async function requireFitting(
  standing: Standing | undefined,
  bus: Bus,
  clock: Clock,
): Promise<void> {
  if (!(await isReached(bus, clock))) return;
  try {
    if (standing === undefined) await requireAlone(bus, clock);
    else await requireSameKey(standing, bus);
  } catch (error) {
    if (!sharedErrors.is(error) || error.code !== 'BUS_UNAVAILABLE') throw error;
  }
}

async function requireAlone(bus: Bus, clock: Clock): Promise<void> {
  const leader = await leaderOn(bus, clock);
  if (leader === undefined) return;
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `The control plane ${leader.holder} at ${leader.apiUrl} leads on this NATS.`,
    { hint: 'A control plane beside another one needs --durability replicated, as that one has.' },
  );
}

async function requireSameKey({ marks, id }: Standing, bus: Bus): Promise<void> {
  const lease = await lastLease(bus);
  if (lease === undefined || marks.fits(lease)) return;
  const whose = lease.holder === id ? 'it had before' : `of ${lease.holder} at ${lease.apiUrl}`;
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `The master key of this control plane is another one than that ${whose}: it could open no` +
      ' password.',
    {
      hint: 'Give all control planes the same DBBOUNCER_MASTER_KEY, or copies of one master.key.',
    },
  );
}

function isReached(bus: Bus, clock: Clock): Promise<boolean> {
  if (bus.status === 'connected') return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (reached: boolean) => {
      timer.cancel();
      statuses.close();
      resolve(reached);
    };
    const statuses = bus.onStatus((status) => {
      if (status === 'connected') end(true);
    });
    const timer = clock.after(BUS_WITHIN_MS, () => end(false));
  });
}
