/**
 * What one read of a server connection has brought for its clients, written when all of it is
 * sorted: no client is answered, and sends more, in the midst of a read. The writes stand close
 * together that way; that alone made no difference that could be measured.
 * Owns: the order, and that a client hears of the end of its batch behind its last bytes.
 */
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { giveBack } from './shared-batch.ts';
import type { BatchClient, ReturnReason, SharedBatch } from './shared-batch.ts';

export class Deliveries {
  /** By place: whose bytes, and those. */
  readonly #clients: BatchClient[] = [];
  readonly #bytes: Buffer[] = [];
  /** By place: whose batch is over, and why it goes back if it does. */
  readonly #over: BatchClient[] = [];
  readonly #batches: SharedBatch[] = [];
  readonly #reasons: (ReturnReason | undefined)[] = [];

  /** Bytes of a reply: they must stay as they are until `make`. */
  add(client: BatchClient, bytes: Buffer): void {
    this.#clients.push(client);
    this.#bytes.push(bytes);
  }

  /** The batch of this client is over. */
  ends(client: BatchClient, batch: SharedBatch, reason: ReturnReason | undefined): void {
    this.#over.push(client);
    this.#batches.push(batch);
    this.#reasons.push(reason);
  }

  /** @returns how many bytes the last client that was written to has yet to take */
  make(from: PostgresBackend): number {
    let pendingBytes = 0;
    for (let at = 0; at < this.#clients.length; at += 1) {
      const client = this.#clients[at] as BatchClient;
      pendingBytes = client.relay(this.#bytes[at] as Buffer, from);
    }
    this.#clients.length = 0;
    this.#bytes.length = 0;
    this.#tell();
    return pendingBytes;
  }

  /** Who hears that its batch is over may send the next one, and be answered here again. */
  #tell(): void {
    const count = this.#over.length;
    if (count === 0) return;
    for (let at = 0; at < count; at += 1) {
      const client = this.#over[at] as BatchClient;
      const reason = this.#reasons[at];
      if (reason === undefined) client.answered();
      else giveBack(this.#batches[at] as SharedBatch, client, reason);
    }
    this.#over.length = 0;
    this.#batches.length = 0;
    this.#reasons.length = 0;
  }
}
