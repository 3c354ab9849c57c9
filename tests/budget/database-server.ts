/**
 * The database server of the simulated world: who is connected, as it counts them. It closes when
 * it likes: at once, late, or only when a statement has ended. Holds every connection against the
 * limits at the moment at which it is opened: invariant 1.
 */
import type { Chance } from './chance.ts';
import type { Agenda } from './network.ts';

export interface Connection {
  readonly tenant: string;
  readonly proxy: string;
  readonly life: number;
  /** `dialing`: not logged in yet; `closed`: the server has ended it. */
  state: 'dialing' | 'idle' | 'busy' | 'closed';
  /** Its proxy has closed it, or was ended; the server has not noticed yet. */
  isAbandoned: boolean;
  /** Called once it has closed; nobody listens any more where the proxy has ended. */
  onClosed: () => void;
}

export class DatabaseServer {
  readonly #agenda: Agenda;
  readonly #chance: Chance;
  readonly connections = new Set<Connection>();
  /** Called after each connection that is opened. */
  onOpened: (connection: Connection) => void = () => {};
  closing: 'prompt' | 'late' = 'prompt';

  constructor(agenda: Agenda, chance: Chance) {
    this.#agenda = agenda;
    this.#chance = chance;
  }

  open(tenant: string, proxy: string, life: number, onClosed: () => void): Connection {
    const connection: Connection = {
      tenant,
      proxy,
      life,
      state: 'dialing',
      isAbandoned: false,
      onClosed,
    };
    this.connections.add(connection);
    this.onOpened(connection);
    return connection;
  }

  /** The client side is gone, or pg_terminate_backend was called. */
  close(connection: Connection, why: 'closed' | 'killed' | 'terminated'): void {
    if (connection.isAbandoned && why !== 'terminated') return;
    connection.isAbandoned = true;
    const isBusy = connection.state === 'busy' && why !== 'terminated';
    const delayMs = isBusy ? this.#chance.between(50, 3_000) : this.#closingMs();
    this.#agenda.after(delayMs, () => this.#closed(connection));
  }

  of(tenant: string): readonly Connection[] {
    return [...this.connections].filter((connection) => connection.tenant === tenant);
  }

  /** What a look in pg_stat_activity shows: who has logged in. */
  left(tenant: string, proxy: string, upToLife: number): readonly Connection[] {
    return this.of(tenant).filter(
      (one) => one.proxy === proxy && one.life <= upToLife && one.state !== 'dialing',
    );
  }

  #closingMs(): number {
    if (this.closing === 'late' && this.#chance.happens(0.3)) {
      return this.#chance.between(100, 2_000);
    }
    return this.#chance.between(0.5, 5);
  }

  #closed(connection: Connection): void {
    if (connection.state === 'closed') return;
    connection.state = 'closed';
    this.connections.delete(connection);
    connection.onClosed();
  }
}
