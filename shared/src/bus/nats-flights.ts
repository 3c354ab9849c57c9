/**
 * Operations under way on a connection that comes and goes. Each ends: with its answer, with the
 * loss of the connection it was begun on, or with its deadline. Leaves: the connection itself to
 * nats-link.ts.
 */
import type { Clock } from '../kernel/clock.ts';
import { busUnavailable } from './bus-errors.ts';

/** An operation waits for a connection, then is begun on one, once. */
interface Flight<Connection> {
  phase: 'waiting' | 'begun';
  begin(connection: Connection): void;
  fail(reason: string): void;
}

export class Flights<Connection> {
  readonly #clock: Clock;
  readonly #problem: () => string | undefined;
  readonly #flights = new Set<Flight<Connection>>();

  /** @param problem why there is no connection, where that is known */
  constructor(clock: Clock, problem: () => string | undefined = () => undefined) {
    this.#clock = clock;
    this.#problem = problem;
  }

  /**
   * Begins on `connection`, or on the next one when there is none now.
   * @param operation ends the sentence "could not …" of the error.
   * @throws BUS_UNAVAILABLE: failed, connection lost, or not done within `timeoutMs`. What was
   * begun may still come to its end unseen.
   */
  run<T>(
    operation: string,
    timeoutMs: number,
    connection: Connection | undefined,
    begin: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        if (!this.#flights.delete(flight)) return;
        timer.cancel();
        settle();
      };
      const flight: Flight<Connection> = {
        phase: 'waiting',
        begin: (on) => {
          flight.phase = 'begun';
          begin(on).then(
            (value) => end(() => resolve(value)),
            (error: unknown) => end(() => reject(busUnavailable(operation, error))),
          );
        },
        fail: (reason) => end(() => reject(busUnavailable(operation, reason))),
      };
      const timer = this.#clock.after(timeoutMs, () => {
        flight.fail(`${this.#missing(flight)} within ${timeoutMs} ms`);
      });
      this.#flights.add(flight);
      if (connection !== undefined) flight.begin(connection);
    });
  }

  #missing({ phase }: Flight<Connection>): string {
    if (phase === 'begun') return 'no answer';
    const problem = this.#problem();
    return problem === undefined ? 'not connected' : `not connected (${problem})`;
  }

  /** Begins whatever waited for a connection. */
  connected(connection: Connection): void {
    for (const flight of this.#flights) if (flight.phase === 'waiting') flight.begin(connection);
  }

  /** Fails what was begun on the connection that is gone; what still waits goes on waiting. */
  lost(): void {
    for (const flight of this.#flights) {
      if (flight.phase === 'begun') flight.fail('the connection was lost');
    }
  }

  closed(): void {
    for (const flight of this.#flights) flight.fail('it was closed');
  }
}
