/**
 * The Meter that sessions write to: plain numbers per tenant, which metrics.ts presents when it is
 * asked.
 */
import type { Protocol } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type {
  AuthFailure,
  CancelOutcome,
  ErrorSource,
  HandshakeFailure,
  ListeningEnd,
  LookupOutcome,
  LeakKind,
  Meter,
  PinReason,
  ResetStatus,
  ReturnReason,
  SharingVerdict,
  TenantMeter,
  ThrottleReason,
  TimeLimit,
} from '../session/meter.ts';
import { ClassifierTally } from './classifier-tally.ts';
import { DurationTally } from './duration-tally.ts';
import { SharedTally } from './shared-tally.ts';

/** What is counted without regard to the tenant. */
class FleetCounts {
  readonly pins = new Map<PinReason, number>();
  readonly classifier = new ClassifierTally();
  readonly shared = new SharedTally();
  readonly resets = new Map<ResetStatus, number>();
  readonly authFailures = new Map<AuthFailure, number>();
  readonly loginDelays = new Map<ThrottleReason, number>();
  readonly cancelRequests = new Map<CancelOutcome, number>();
  readonly lookups = new Map<LookupOutcome, number>();
  readonly tlsFailures = new Map<HandshakeFailure, number>();
  readonly timeLimits = new Map<TimeLimit, number>();
  readonly listeningEnds = new Map<ListeningEnd, number>();
  readonly leaks = new Map<LeakKind, number>();
  inspections = 0;
  dirtyDisconnects = 0;
  tlsHandshakes = 0;
  tlsClients = 0;
}

/** The counts of one tenant on one protocol. */
export class TenantTally implements TenantMeter {
  readonly tenant: string;
  readonly protocol: Protocol;
  readonly queries = new DurationTally();
  readonly acquires = new DurationTally();
  sharedBatches = 0;
  pins = 0;
  readonly errors: Record<ErrorSource, number> = { server: 0, proxy: 0 };
  readonly listening = { clients: 0, channels: 0, delivered: 0, lost: 0 };
  readonly #fleet: FleetCounts;

  constructor(tenant: string, protocol: Protocol, fleet: FleetCounts) {
    this.tenant = tenant;
    this.protocol = protocol;
    this.#fleet = fleet;
  }

  queryFinished(durationSeconds: number): void {
    this.queries.add(durationSeconds);
  }

  acquired(waitSeconds: number): void {
    this.acquires.add(waitSeconds);
  }

  errorAnswered(source: ErrorSource): void {
    this.errors[source] += 1;
  }

  pinned(reason: PinReason): void {
    this.pins += 1;
    increment(this.#fleet.pins, reason);
  }

  classified(verdict: SharingVerdict): void {
    this.#fleet.classifier.count(verdict);
  }

  sharedBatch(depth: number): void {
    this.sharedBatches += 1;
    this.#fleet.shared.placed(depth);
  }

  sharedReturned(reason: ReturnReason): void {
    this.#fleet.shared.returned(reason);
  }

  authFailed(reason: AuthFailure): void {
    increment(this.#fleet.authFailures, reason);
  }

  backendReset(status: ResetStatus): void {
    increment(this.#fleet.resets, status);
  }

  userLookedUp(outcome: LookupOutcome): void {
    increment(this.#fleet.lookups, outcome);
  }

  stateInspected(): void {
    this.#fleet.inspections += 1;
  }

  stateLeaked(kind: LeakKind): void {
    increment(this.#fleet.leaks, kind);
  }

  dirtyDisconnect(): void {
    this.#fleet.dirtyDisconnects += 1;
  }

  timeLimitMet(limit: TimeLimit): void {
    increment(this.#fleet.timeLimits, limit);
  }

  listeners(change: number): void {
    this.listening.clients += change;
  }

  channels(change: number): void {
    this.listening.channels += change;
  }

  notificationsDelivered(count: number): void {
    this.listening.delivered += count;
  }

  listenerLost(): void {
    this.listening.lost += 1;
  }

  listeningEnded(reason: ListeningEnd): void {
    increment(this.#fleet.listeningEnds, reason);
  }
}

export class SessionTally implements Meter {
  readonly #fleet = new FleetCounts();
  /** By `tenantKey`; an id belongs to one tenant, and so to one protocol at a time. */
  readonly #tenants = new Map<string, TenantTally>();

  tenant(id: string, protocol: Protocol): TenantMeter {
    const key = tenantKey(id);
    const known = this.#tenants.get(key);
    if (known?.protocol === protocol) return known;
    const tally = new TenantTally(id, protocol, this.#fleet);
    this.#tenants.set(key, tally);
    return tally;
  }

  authFailed(reason: AuthFailure): void {
    increment(this.#fleet.authFailures, reason);
  }

  loginDelayed(reason: ThrottleReason): void {
    increment(this.#fleet.loginDelays, reason);
  }

  cancelRequested(outcome: CancelOutcome): void {
    increment(this.#fleet.cancelRequests, outcome);
  }

  tlsBegan(): void {
    this.#fleet.tlsHandshakes += 1;
    this.#fleet.tlsClients += 1;
  }

  tlsEnded(): void {
    this.#fleet.tlsClients -= 1;
  }

  tlsFailed(reason: HandshakeFailure): void {
    increment(this.#fleet.tlsFailures, reason);
  }

  /** Drops the counts of a tenant that was removed; its sessions go on counting into nowhere. */
  forget(tenant: string): void {
    this.#tenants.delete(tenantKey(tenant));
  }

  get tenants(): Iterable<TenantTally> {
    return this.#tenants.values();
  }

  get pins(): ReadonlyMap<PinReason, number> {
    return this.#fleet.pins;
  }

  get shared(): SharedTally {
    return this.#fleet.shared;
  }

  get classifier(): ClassifierTally {
    return this.#fleet.classifier;
  }

  get resets(): ReadonlyMap<ResetStatus, number> {
    return this.#fleet.resets;
  }

  get authFailures(): ReadonlyMap<AuthFailure, number> {
    return this.#fleet.authFailures;
  }

  get loginDelays(): ReadonlyMap<ThrottleReason, number> {
    return this.#fleet.loginDelays;
  }

  get cancelRequests(): ReadonlyMap<CancelOutcome, number> {
    return this.#fleet.cancelRequests;
  }

  get lookups(): ReadonlyMap<LookupOutcome, number> {
    return this.#fleet.lookups;
  }

  get listeningEnds(): ReadonlyMap<ListeningEnd, number> {
    return this.#fleet.listeningEnds;
  }

  get inspections(): number {
    return this.#fleet.inspections;
  }

  get leaks(): ReadonlyMap<LeakKind, number> {
    return this.#fleet.leaks;
  }

  get dirtyDisconnects(): number {
    return this.#fleet.dirtyDisconnects;
  }

  get timeLimits(): ReadonlyMap<TimeLimit, number> {
    return this.#fleet.timeLimits;
  }

  get tlsFailures(): ReadonlyMap<HandshakeFailure, number> {
    return this.#fleet.tlsFailures;
  }

  get tlsHandshakes(): number {
    return this.#fleet.tlsHandshakes;
  }

  /** Clients whose connection is encrypted now. */
  get tlsClients(): number {
    return this.#fleet.tlsClients;
  }
}

function increment<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
