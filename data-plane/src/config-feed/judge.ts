/**
 * What a proxy makes of a config it is sent: pure decisions, so that every case can be tested
 * without a bus. A proxy never guesses: what does not fit exactly is ignored, rejected with a
 * reason, or answered with a resync.
 */
import { isDeepStrictEqual } from 'node:util';
import { applyDelta, decodeDelta, DELTA_LIMITS } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { snapshotFrom } from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { ConfigSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { frameOf } from '@dbbouncer/shared/contract/config-text.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { fromSnapshotBytes } from '@dbbouncer/shared/contract/snapshot-bytes.ts';
import type { OpenedMessage } from '@dbbouncer/shared/contract/signed-message.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { finishWithRests } from '@dbbouncer/shared/kernel/steps.ts';
import { z } from 'zod';
import { findChangeInconsistency, isKnownConsistent, markConsistent } from '../routing/snapshot.ts';

/** Something that was not applied, and why; `position` is what it claims to lead to. */
export interface Rejection {
  readonly position: Position;
  readonly reason: string;
}

export type Verdict =
  | { readonly kind: 'apply'; readonly config: RoutingConfig }
  /** Contained in the config already. */
  | { readonly kind: 'ignore' }
  /** Something before it is missing: only a snapshot helps. */
  | { readonly kind: 'resync'; readonly reason: string }
  /** From a deposed term: what follows may be fine. */
  | { readonly kind: 'refuse'; readonly rejection: Rejection }
  /** Cannot be served: the last good config stays until a snapshot leads past it. */
  | { readonly kind: 'reject'; readonly rejection: Rejection };

/** What to do with a delta while `current` is served; what is not genuine is never applied. */
export function judgeDelta(current: RoutingConfig, opened: OpenedMessage): Verdict {
  const text = asBuffer(opened.payload).toString('utf8');
  if (opened.outcome === 'refused') {
    const position = believableClaim(current, text);
    return { kind: 'reject', rejection: { position, reason: opened.reason } };
  }
  let delta: ConfigDelta;
  try {
    delta = decodeDelta(text);
  } catch (error) {
    const position = claimedPosition(text, 'to') ?? current.position;
    return { kind: 'reject', rejection: { position, reason: `delta ${undecodable(error)}` } };
  }
  const next = applyDelta(current, delta);
  if (typeof next !== 'string') return judgeConfig(current, next);
  switch (next) {
    case 'duplicate':
      // The same positions from a new term may hold other events: the old term's were lost.
      return delta.epoch === current.epoch
        ? { kind: 'ignore' }
        : { kind: 'resync', reason: `term ${delta.epoch} wrote position ${delta.to} anew` };
    case 'gap':
      return {
        kind: 'resync',
        reason: `positions ${current.position} to ${delta.from} are missing`,
      };
    case 'stale':
      return { kind: 'refuse', rejection: staleTerm(delta.to, delta.epoch, current.epoch) };
    default:
      return unreachable(next);
  }
}

export type SnapshotVerdict = Exclude<Verdict, { kind: 'resync' }>;

/**
 * What to do with a snapshot while `current` is served; a later term may lead back to a lower
 * position.
 */
export function judgeSnapshot(current: RoutingConfig, snapshot: RoutingConfig): SnapshotVerdict {
  if (snapshot.epoch < current.epoch) {
    const rejection = staleTerm(snapshot.position, snapshot.epoch, current.epoch);
    return { kind: 'refuse', rejection };
  }
  if (snapshot.epoch === current.epoch && snapshot.position <= current.position) {
    return { kind: 'ignore' };
  }
  const next = shareUnchanged(current, snapshot);
  if (isKnownConsistent(snapshot)) markConsistent(next);
  return judgeConfig(current, next);
}

export type DecodedSnapshot =
  | { readonly kind: 'snapshot'; readonly snapshot: ConfigSnapshot }
  | {
      readonly kind: 'undecodable';
      readonly position: Position | undefined;
      readonly reason: string;
    };

/** Rests while it reads: clients may be served meanwhile. */
export async function readSnapshot(data: Uint8Array): Promise<DecodedSnapshot> {
  let text = asBuffer(data);
  try {
    text = await fromSnapshotBytes(data);
    return { kind: 'snapshot', snapshot: await finishWithRests(snapshotFrom(text)) };
  } catch (error) {
    const position = claimedPosition(frameOf(text), 'config', 'position');
    return { kind: 'undecodable', position, reason: `snapshot ${undecodable(error)}` };
  }
}

/**
 * `next` with every part of `current` that is equal, so that a swap to it concerns only what
 * differs: a snapshot decoded from bytes has no object in common with the config it replaces.
 */
export function shareUnchanged(current: RoutingConfig, next: RoutingConfig): RoutingConfig {
  const { defaults } = isDeepStrictEqual(next.defaults, current.defaults) ? current : next;
  const { servers } = isDeepStrictEqual(next.servers, current.servers) ? current : next;
  return { ...next, defaults, servers, tenants: next.tenants.sharing(current.tenants) };
}

function judgeConfig(
  current: RoutingConfig,
  next: RoutingConfig,
): Extract<Verdict, { kind: 'apply' | 'reject' }> {
  const reason = findChangeInconsistency(current, next);
  if (reason === undefined) return { kind: 'apply', config: next };
  return { kind: 'reject', rejection: { position: next.position, reason } };
}

/** Where it claims to lead, if a next delta could: nobody else is to be told of other places. */
function believableClaim({ position }: RoutingConfig, text: string): Position {
  const claimed = claimedPosition(text, 'to') ?? position;
  return claimed - position <= DELTA_LIMITS.eventsMax ? Math.max(claimed, position) : position;
}

function staleTerm(position: Position, epoch: number, current: number): Rejection {
  return { position, reason: `written in term ${epoch}, which term ${current} has ended` };
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

const REASON_CHARS_MAX = 500;

/** Says where the form is wrong without repeating any of the content. */
function undecodable(error: unknown): string {
  if (error instanceof RangeError) return 'is too large';
  if (!(error instanceof z.ZodError)) return 'is not JSON';
  return `has an unknown form: ${z.prettifyError(error)}`
    .replaceAll(/\s+/g, ' ')
    .slice(0, REASON_CHARS_MAX);
}

/** The position in something that does not decode as a whole, for the record only. */
function claimedPosition(text: string, ...path: readonly string[]): Position | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}
