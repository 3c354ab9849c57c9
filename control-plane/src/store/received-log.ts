/**
 * An event log written from events that another control plane has stored: as they are, hashes
 * included, from the first on. Leaves: the read models to the store that opens it next.
 */
import type Database from 'better-sqlite3';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { canonicalJson } from './canonical-json.ts';
import type { StoredEvent } from './event.ts';
import { namingFailures } from './failures.ts';
import { ChainWalk } from './hash-chain.ts';
import { openDatabase } from './sqlite-database.ts';

const INSERT = `INSERT INTO events (position, stream, stream_version, type, data, actor, reason,
  request_id, occurred_at, epoch, prev_hash, hash) VALUES ($position, $stream, $streamVersion,
  $type, $data, $actor, $reason, $requestId, $occurredAt, $epoch, $prevHash, $hash)`;

export class ReceivedLog {
  readonly #client: Database.Database;
  readonly #insert: Database.Statement;
  readonly #hashAt: Database.Statement;
  readonly #chain = new ChainWalk();

  /** Makes the database. @throws STORE_FULL, STORE_BUSY, STORE_FAILED */
  constructor(file: string) {
    this.#client = openDatabase(file, 'full').client;
    this.#insert = this.#client.prepare(INSERT);
    this.#hashAt = this.#client.prepare('SELECT hash FROM events WHERE position = ?').pluck();
    this.#client.exec('BEGIN');
  }

  /** Of the last event it holds. */
  get position(): Position {
    return this.#chain.position;
  }

  /**
   * Adds the next event; one that it holds already changes nothing. Says what keeps `event` from
   * being either. @throws STORE_FULL, STORE_FAILED
   */
  add(event: StoredEvent): string | undefined {
    return namingFailures(() => {
      if (event.position > this.#chain.position) {
        const reason = this.#chain.follow(event);
        if (reason === undefined) this.#insert.run({ ...event, data: canonicalJson(event.data) });
        return reason;
      }
      const isHeld = this.#hashAt.get(event.position) === event.hash;
      return isHeld ? undefined : 'is there twice, each time another one';
    });
  }

  /** Keeps what was added. @throws STORE_FULL, STORE_FAILED */
  commit(): void {
    namingFailures(() => this.#client.exec('COMMIT'));
  }

  /** What was not committed is not kept. */
  close(): void {
    this.#client.close();
  }
}
