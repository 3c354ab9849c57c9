/**
 * Keeps the newest config as one object on the bus, for proxies that start or met a gap, and
 * answers their requests. Owns: when it is written. Leaves: what it is to the delta publisher,
 * whose config and log place it writes together.
 */
import type { Bus, BusObjects, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import {
  decodeSnapshotHead,
  encodeSnapshotAnswer,
  snapshotPieces,
} from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { ConfigSnapshot, SnapshotHead } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { fromSnapshotBytes, toSnapshotBytes } from '@dbbouncer/shared/contract/snapshot-bytes.ts';
import type { ConfigSigner } from '@dbbouncer/shared/contract/signed-message.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { nextTurn } from '@dbbouncer/shared/kernel/steps.ts';

export const SNAPSHOT_TIMES = Object.freeze({
  /** After the first change in a while, so that a burst makes one snapshot. */
  settleMs: 250,
  /** Between snapshots under constant change. */
  intervalMs: 3_000,
  /**
   * A large config is written less often: writing takes at most one part in so many of the time, so
   * that less than one change in a hundred meets it. Who starts meanwhile follows the deltas since.
   */
  idleShare: 200,
  /** A request finds a snapshot this young good enough, if nothing changed since. */
  freshMs: 1_000,
  retryAfterMs: 1_000,
});

export interface SnapshotPorts {
  readonly bus: Bus;
  readonly signer: ConfigSigner;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the bus was told so far; nothing as long as that is not known. */
  readonly published: () => ConfigSnapshot | undefined;
}

interface Stored {
  readonly snapshot: ConfigSnapshot;
  readonly atMs: number;
}

export class SnapshotPublisher {
  readonly #ports: SnapshotPorts;
  readonly #objects: BusObjects;
  #responder: Subscription | undefined;
  #stored: Stored | undefined;
  #position: Position | undefined;
  #intervalMs: number = SNAPSHOT_TIMES.intervalMs;
  #timer: Timer | undefined;
  #writing: Promise<ConfigSnapshot> | undefined;
  #next: Promise<ConfigSnapshot> | undefined;
  #life: 'open' | 'closed' = 'open';

  constructor(ports: SnapshotPorts) {
    this.#ports = ports;
    this.#objects = ports.bus.objects(SUBJECTS.snapshotBucket);
  }

  /** Position of the snapshot that was stored last or found up to date; nothing before. */
  get position(): Position | undefined {
    return this.#position;
  }

  start(): void {
    this.#responder = this.#ports.bus.respond(SUBJECTS.snapshotRequest, () => this.#answer());
  }

  async close(): Promise<void> {
    this.#life = 'closed';
    this.#responder?.close();
    this.#timer?.cancel();
    await Promise.allSettled([this.#writing, this.#next]);
  }

  /**
   * The bus was recovered: what it holds is not known any more. Writes at once when that is absent
   * or outdated.
   */
  onRecovered(): void {
    this.#stored = undefined;
    this.#schedule(0);
  }

  /** The config changed: writes soon, but not too often. */
  onPublished(): void {
    const sinceMs = this.#ports.clock.nowMs() - (this.#stored?.atMs ?? -Infinity);
    this.#schedule(Math.max(SNAPSHOT_TIMES.settleMs, this.#intervalMs - sinceMs));
  }

  #schedule(delayMs: number): void {
    if (this.#life === 'closed') return;
    if (this.#timer !== undefined && delayMs > 0) return;
    this.#timer?.cancel();
    this.#timer = this.#ports.clock.after(delayMs, () => {
      this.#timer = undefined;
      void this.#refresh();
    });
  }

  async #refresh(): Promise<void> {
    try {
      if (await this.#isOutdated()) await this.#write();
    } catch (error) {
      this.#ports.log.warn({ error }, 'the snapshot was not stored');
      // A config too large for the bus is tried again when it has changed.
      if (error instanceof AppError && error.retryable) this.#schedule(SNAPSHOT_TIMES.retryAfterMs);
    }
  }

  /** Asks the bus only when this process does not know what it stored there. */
  async #isOutdated(): Promise<boolean> {
    const current = this.#ports.published();
    if (current === undefined) return false;
    if (this.#stored !== undefined) return this.#stored.snapshot !== current;
    const held = await this.#readHead(await this.#objects.get(SUBJECTS.snapshotObject));
    if (held === undefined || !isSame(held, current)) return true;
    this.#remember(current);
    return false;
  }

  async #answer(): Promise<Uint8Array> {
    const current = this.#ports.published();
    const stored = this.#stored;
    const isFresh =
      stored !== undefined &&
      stored.snapshot === current &&
      this.#ports.clock.nowMs() - stored.atMs < SNAPSHOT_TIMES.freshMs;
    const { config } = isFresh ? stored.snapshot : await this.#write();
    return Buffer.from(encodeSnapshotAnswer({ epoch: config.epoch, position: config.position }));
  }

  /**
   * Stores what is published at the time of the call or later: calls during a write share the next
   * one.
   */
  #write(): Promise<ConfigSnapshot> {
    if (this.#next !== undefined) return this.#next;
    if (this.#writing === undefined) return this.#begin();
    const next = this.#writing.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    this.#next = next;
    return next;
  }

  #begin(): Promise<ConfigSnapshot> {
    this.#next = undefined;
    this.#writing = this.#put().finally(() => (this.#writing = undefined));
    return this.#writing;
  }

  async #put(): Promise<ConfigSnapshot> {
    const snapshot = this.#ports.published();
    if (snapshot === undefined) {
      throw sharedErrors.fail('BUS_UNAVAILABLE', 'What the bus was told is not known yet.');
    }
    const { clock, signer } = this.#ports;
    const beganMs = clock.nowMs();
    const message = await signer.sign('snapshot', await encoded(snapshot, clock));
    await this.#objects.put(SUBJECTS.snapshotObject, message);
    const tookMs = clock.nowMs() - beganMs;
    this.#intervalMs = Math.max(SNAPSHOT_TIMES.intervalMs, tookMs * SNAPSHOT_TIMES.idleShare);
    this.#remember(snapshot);
    return snapshot;
  }

  /** Nothing where proxies could not use it. */
  async #readHead(message: Uint8Array | undefined): Promise<SnapshotHead | undefined> {
    if (message === undefined) return undefined;
    const opened = await this.#ports.signer.open('snapshot', message);
    if (opened.outcome === 'refused') return undefined;
    try {
      return decodeSnapshotHead(await fromSnapshotBytes(opened.payload));
    } catch {
      return undefined;
    }
  }

  #remember(snapshot: ConfigSnapshot): void {
    this.#stored = { snapshot, atMs: this.#ports.clock.nowMs() };
    this.#position = snapshot.config.position;
  }
}

/** What the process does in one go when it encodes. */
const RESTS_AFTER_MS = 1;

/** The bytes of a snapshot, made with rests. */
async function encoded(snapshot: ConfigSnapshot, clock: Clock): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let sinceMs = clock.nowMs();
  for (const piece of snapshotPieces(snapshot)) {
    pieces.push(Buffer.from(piece));
    if (clock.nowMs() - sinceMs < RESTS_AFTER_MS) continue;
    await nextTurn();
    sinceMs = clock.nowMs();
  }
  return await toSnapshotBytes(Buffer.concat(pieces));
}

function isSame(held: SnapshotHead, current: ConfigSnapshot): boolean {
  return (
    held.logCreatedAt === current.logCreatedAt &&
    held.logSequence === current.logSequence &&
    held.config.epoch === current.config.epoch &&
    held.config.position === current.config.position
  );
}
