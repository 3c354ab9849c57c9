/**
 * Which control plane leads: the one whose lease is the newest value of a key on the bus, written
 * over exactly the one before it. Owns: taking, renewing, giving back and watching the lease.
 * Leaves: what leading means to replica.ts, and safety to the event stream, whose expected sequence
 * refuses whoever writes although another has begun a term.
 *
 * No two clocks are compared. A leader counts its lease from before it sent the renewal that
 * succeeded last; everybody else from when he first saw that renewal, which is later. So it has
 * stopped before another may begin, as long as no clock runs much faster than others: a leader
 * uses HELD_SHARE of its lease only.
 */
import type { BusKeys, KeyEntry, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { decodeLease, encodeLease } from './lease-record.ts';
import type { Lease, LeaseMarks } from './lease-record.ts';

/** What a leader uses of its lease, since clocks do not run alike. */
const HELD_SHARE = 0.9;
/** Renewals within one lease. */
const RENEWALS = 5;

export interface Candidate {
  readonly holder: string;
  readonly process: string;
  readonly apiUrl: string;
  readonly marks: LeaseMarks;
  readonly leaseMs: number;
}

export interface ElectionHooks {
  /** Whether the lease may be taken now. @param last the lease there was last */
  mayLead(last: Lease | undefined): boolean;
  /** The highest term that is known of otherwise. */
  termFloor(): number;
  onElected(term: number): void;
  /** The lease was lost or not renewed in time; called once for each `onElected`. */
  onDeposed(reason: string): void;
}

export interface ElectionPorts {
  readonly keys: BusKeys;
  readonly clock: Clock;
  readonly log: Logger;
}

type Standing =
  | { readonly kind: 'follower' }
  | {
      readonly kind: 'leader';
      readonly lease: Lease;
      readonly revision: number;
      /** On this process's own clock. */
      readonly heldUntilMs: number;
    };

/** A value of the key, and when this process first saw it. */
interface Sighting {
  readonly revision: number;
  readonly lease: Lease | undefined;
  readonly atMs: number;
}

const FOLLOWER: Standing = Object.freeze({ kind: 'follower' });

export class Election {
  readonly #candidate: Candidate;
  readonly #hooks: ElectionHooks;
  readonly #ports: ElectionPorts;
  #standing: Standing = FOLLOWER;
  #seen: Sighting | undefined;
  /** Of the lease that was there when this process looked first. */
  #firstRevision: number | undefined;
  #life: 'new' | 'open' | 'closed' = 'new';
  #looking: Promise<void> = Promise.resolve();
  #look: 'none' | 'waiting' | 'running' | 'again' = 'none';
  #timer: Timer | undefined;
  #expiry: Timer | undefined;
  #watch: Subscription | undefined;

  constructor(candidate: Candidate, hooks: ElectionHooks, ports: ElectionPorts) {
    this.#candidate = candidate;
    this.#hooks = hooks;
    this.#ports = ports;
  }

  /** The lease that was seen last, whether it still counts or not. */
  get lease(): Lease | undefined {
    return this.#standing.kind === 'leader' ? this.#standing.lease : this.#seen?.lease;
  }

  /** Whether this one leads at this very moment, for all that is known here. */
  holds(): boolean {
    return (
      this.#standing.kind === 'leader' && this.#ports.clock.nowMs() < this.#standing.heldUntilMs
    );
  }

  start(): void {
    this.#life = 'open';
    this.#watch = this.#ports.keys.watch(SUBJECTS.leaseKey, (change) => {
      // One's own renewals are no news.
      const written = change.kind === 'put' ? decodeLease(change.value) : undefined;
      if (written?.process !== this.#candidate.process) this.#lookNow();
    });
    this.#lookNow();
  }

  /** Looks at the lease at once: something has changed that `mayLead` goes by. */
  nudge(): void {
    this.#lookNow();
  }

  /** Gives the lease back, so that another can have it at once; does nothing for a follower. */
  async resign(reason: string): Promise<void> {
    const { keys, log } = this.#ports;
    const standing = this.#standing;
    if (standing.kind !== 'leader') return;
    this.#depose(reason);
    try {
      const released = encodeLease({ ...standing.lease, state: 'released' });
      await keys.update(SUBJECTS.leaseKey, released, standing.revision);
    } catch (error) {
      log.debug({ error }, 'the lease was not given back; it lapses by itself');
    }
  }

  async close(): Promise<void> {
    if (this.#life === 'closed') return;
    this.#life = 'closed';
    this.#watch?.close();
    this.#timer?.cancel();
    await this.#looking;
    await this.resign('this control plane stops');
  }

  #lookNow(): void {
    if (this.#life !== 'open') return;
    if (this.#look === 'running' || this.#look === 'again') {
      this.#look = 'again';
      return;
    }
    this.#timer?.cancel();
    this.#look = 'running';
    this.#looking = this.#lookOnce();
  }

  async #lookOnce(): Promise<void> {
    const { log } = this.#ports;
    try {
      if (this.#standing.kind === 'leader') await this.#renew(this.#standing);
      else await this.#seek();
    } catch (error) {
      log.debug({ error }, 'the lease could not be looked at');
    }
    const isAsked = this.#isAskedAgain();
    this.#look = 'waiting';
    if (this.#life !== 'open') return;
    const delayMs = isAsked ? 0 : this.#candidate.leaseMs / RENEWALS;
    this.#timer = this.#ports.clock.after(delayMs, () => this.#lookNow());
  }

  #isAskedAgain(): boolean {
    return this.#look === 'again';
  }

  /** Takes the lease where nobody holds it. */
  async #seek(): Promise<void> {
    const { keys, clock } = this.#ports;
    const beganMs = clock.nowMs();
    const entry = await keys.get(SUBJECTS.leaseKey);
    const seen = this.#sight(entry, clock.nowMs());
    const { lease } = seen;
    if (this.#life !== 'open' || !this.#hooks.mayLead(lease)) return;
    if (!this.#isFree(seen)) return;
    const term = Math.max(lease?.term ?? 0, this.#hooks.termFloor()) + 1;
    const { holder, process, apiUrl, marks, leaseMs } = this.#candidate;
    const own: Lease = {
      state: 'held',
      holder,
      process,
      apiUrl,
      term,
      leaseMs,
      mark: marks.of({ holder, process, apiUrl }),
    };
    const value = encodeLease(own);
    const revision =
      entry === undefined
        ? await keys.create(SUBJECTS.leaseKey, value)
        : await keys.update(SUBJECTS.leaseKey, value, entry.revision);
    this.#hold(own, revision, beganMs);
    this.#hooks.onElected(term);
  }

  /**
   * What is no lease is from nobody who takes part: it hides the one that was there, and neither
   * renews nor ends it.
   */
  #sight(entry: KeyEntry | undefined, atMs: number): Sighting {
    const revision = entry?.revision ?? 0;
    this.#firstRevision ??= revision;
    if (this.#seen?.revision !== revision) {
      const lease = entry && decodeLease(entry.value);
      const isForeign = entry !== undefined && lease === undefined;
      const before = isForeign ? this.#seen : undefined;
      this.#seen = { lease, atMs, ...before, revision };
    }
    return this.#seen;
  }

  /**
   * Whether nobody can believe in it any more: neither this process, which does not, nor the one
   * before it on its data folder, which has ended, since only one can have that.
   */
  #isFree({ revision, lease, atMs }: Sighting): boolean {
    if (revision === 0 || lease?.state === 'released') return true;
    if (lease?.process === this.#candidate.process) return true;
    const isAsFound = revision === this.#firstRevision;
    if (isAsFound && lease?.holder === this.#candidate.holder) return true;
    const leaseMs = lease?.leaseMs ?? this.#candidate.leaseMs;
    return this.#ports.clock.nowMs() - atMs >= leaseMs;
  }

  async #renew({ lease, revision }: Extract<Standing, { kind: 'leader' }>): Promise<void> {
    const { keys, clock } = this.#ports;
    const beganMs = clock.nowMs();
    try {
      const next = await keys.update(SUBJECTS.leaseKey, encodeLease(lease), revision);
      if (this.#standing.kind === 'leader') this.#hold(lease, next, beganMs);
    } catch (error) {
      if (!sharedErrors.is(error) || error.code !== 'BUS_SEQUENCE_CONFLICT') throw error;
      await this.#explainConflict(lease);
    }
  }

  /** In the way is a renewal that was not known to be stored, or what is no lease at all. */
  async #explainConflict(lease: Lease): Promise<void> {
    const { keys, clock, log } = this.#ports;
    const entry = await keys.get(SUBJECTS.leaseKey);
    this.#sight(entry, clock.nowMs());
    if (this.#standing.kind !== 'leader') return;
    const found = entry && decodeLease(entry.value);
    const isOwn =
      found?.process === lease.process && found.term === lease.term && found.state === 'held';
    const isForeign = entry !== undefined && found === undefined;
    if (entry !== undefined && (isOwn || isForeign)) {
      if (isForeign) log.warn({ revision: entry.revision }, 'what is no lease is written over');
      this.#standing = { ...this.#standing, revision: entry.revision };
      this.#look = 'again';
      return;
    }
    this.#depose(
      found === undefined
        ? 'the lease is gone'
        : `the control plane ${found.holder} has begun term ${found.term}`,
    );
  }

  #hold(lease: Lease, revision: number, fromMs: number): void {
    const { clock } = this.#ports;
    const heldUntilMs = fromMs + lease.leaseMs * HELD_SHARE;
    this.#standing = { kind: 'leader', lease, revision, heldUntilMs };
    this.#expiry?.cancel();
    this.#expiry = clock.after(Math.max(0, heldUntilMs - clock.nowMs()), () => {
      this.#depose(`the lease was not renewed for ${Math.round(lease.leaseMs * HELD_SHARE)} ms`);
    });
  }

  #depose(reason: string): void {
    if (this.#standing.kind !== 'leader') return;
    this.#standing = FOLLOWER;
    this.#expiry?.cancel();
    this.#hooks.onDeposed(reason);
  }
}
