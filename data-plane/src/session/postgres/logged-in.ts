/**
 * What a login has established, for the life of its session. What clients have in common is kept
 * once: there may be ten thousand of them.
 */
import type { PoolMode, PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { AccessRequest } from '../../access/access-rules.ts';
import type { ParameterVector } from '../../upstream/parameter-vector.ts';
import type { ReportedParameters } from '../../upstream/reported-parameters.ts';
import type { Admission } from '../client-limits.ts';
import type { TenantMeter } from '../meter.ts';
import type { Account, Member } from './auth/account.ts';
import type { PreparedLimits } from './prepared/prepared-relay.ts';
import type { StatementCatalogue } from './prepared/statement-catalogue.ts';
import type { ApplicationNames } from './state/client-settings.ts';

/** What all clients have in common that log in as one user to one database under one config. */
export interface Seat {
  readonly tenant: string;
  readonly tenantKey: string;
  /** As the clients present it, without the selector. */
  readonly user: string;
  /** That user, as the tenant's config changes. */
  readonly member: Member;
  readonly database: string;
  /** Whether that is the tenant's own one: if the tenant gets another, its sessions follow. */
  readonly databaseIs: 'own' | 'listed';
  readonly pooling: PoolMode;
  readonly applicationNames: ApplicationNames;
  readonly preparedLimits: PreparedLimits;
  readonly settings: PoolSettings;
}

/** By account, then by database: made again when anything else differs. */
const seats = new WeakMap<Account, Map<string, Seat>>();

export type Seated = Pick<Seat, 'tenant' | 'user' | 'database' | 'databaseIs' | 'settings'>;

/** @param seated whose `database` is one that the tenant has */
export function seatOf(account: Account, seated: Seated): Seat {
  let ofAccount = seats.get(account);
  if (ofAccount === undefined) {
    ofAccount = new Map();
    seats.set(account, ofAccount);
  }
  const known = ofAccount.get(seated.database);
  if (known !== undefined && isSame(known, seated)) return known;
  const seat = newSeat(account, seated);
  ofAccount.set(seated.database, seat);
  return seat;
}

function isSame(seat: Seat, { user, databaseIs, settings }: Seated): boolean {
  return seat.settings === settings && seat.user === user && seat.databaseIs === databaseIs;
}

function newSeat(account: Account, seated: Seated): Seat {
  const { settings } = seated;
  return Object.freeze({
    ...seated,
    tenantKey: tenantKey(seated.tenant),
    member: account.member(),
    pooling: account.poolMode ?? settings.poolMode,
    applicationNames: settings.applicationName,
    preparedLimits: {
      perClientMax: settings.maxClientPreparedStatements,
      perBackendMax: settings.maxPreparedStatements,
    },
  });
}

/** What is the client's own. */
export interface ClientTerms {
  readonly address: AccessRequest['address'];
  readonly encryption: AccessRequest['encryption'];
  /** Its place among the clients of its tenant; released when the session ends. */
  readonly admission: Admission;
  readonly vector: ParameterVector;
  /** What the greeting has told of the server's parameters. */
  readonly reported: ReportedParameters;
  /** Shown to the client as its server process. */
  readonly processId: number;
  /** What its cancel requests are known by. */
  readonly cancelName: string;
  readonly catalogue: StatementCatalogue;
  readonly meter: TenantMeter;
}

export class LoggedIn implements Omit<Seat, 'settings'>, ClientTerms {
  readonly #seat: Seat;
  readonly address: ClientTerms['address'];
  readonly encryption: ClientTerms['encryption'];
  readonly admission: Admission;
  readonly vector: ParameterVector;
  readonly reported: ReportedParameters;
  readonly processId: number;
  readonly cancelName: string;
  readonly catalogue: StatementCatalogue;
  readonly meter: TenantMeter;

  constructor(seat: Seat, terms: ClientTerms) {
    this.#seat = seat;
    this.address = terms.address;
    this.encryption = terms.encryption;
    this.admission = terms.admission;
    this.vector = terms.vector;
    this.reported = terms.reported;
    this.processId = terms.processId;
    this.cancelName = terms.cancelName;
    this.catalogue = terms.catalogue;
    this.meter = terms.meter;
  }

  get tenant(): string {
    return this.#seat.tenant;
  }

  get tenantKey(): string {
    return this.#seat.tenantKey;
  }

  get user(): string {
    return this.#seat.user;
  }

  get member(): Member {
    return this.#seat.member;
  }

  get database(): string {
    return this.#seat.database;
  }

  get databaseIs(): 'own' | 'listed' {
    return this.#seat.databaseIs;
  }

  get pooling(): PoolMode {
    return this.#seat.pooling;
  }

  get applicationNames(): ApplicationNames {
    return this.#seat.applicationNames;
  }

  get preparedLimits(): PreparedLimits {
    return this.#seat.preparedLimits;
  }

  /** What the tenant's access rules judge, at the login and when they change. */
  get access(): AccessRequest {
    const { address, encryption, user, database } = this;
    return { address, encryption, user, database };
  }
}
