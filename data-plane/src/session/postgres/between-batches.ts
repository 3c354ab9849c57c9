/**
 * What a client's messages mean while it owns no server connection: which are answered without one,
 * and which are the rest of a batch that got an error in place of one.
 * Owns: where a refused batch ends. Leaves: what is said to the client to transaction.ts.
 * Source: PostgreSQL manual, "Extended Query" in Message Flow (messages are skipped up to Sync).
 */
import { FRONTEND } from '../../wire/postgres/message-types.ts';

/** Who answers the first message after a batch: the proxy (ReadyForQuery), nobody, a server. */
export function answerBetweenBatches(type: number): 'ready' | 'nothing' | 'server' {
  switch (type) {
    case FRONTEND.Sync:
      return 'ready';
    case FRONTEND.Flush:
    // The rest of a COPY that the server has given up; it would drop it too.
    case FRONTEND.CopyData:
    case FRONTEND.CopyDone:
    case FRONTEND.CopyFail:
      return 'nothing';
    default:
      return 'server';
  }
}

/** The rest of a batch that was refused is dropped, as a server drops what follows an error. */
export class RefusedBatch {
  /** With its Sync, unless its first message is one that is a batch by itself. */
  #endsWith: 'first_message' | 'sync' = 'sync';

  begin(): void {
    this.#endsWith = 'first_message';
  }

  /** Whether its next message, of this type, is its last. */
  ends(type: number): boolean {
    const isBatch = type === FRONTEND.Query || type === FRONTEND.FunctionCall;
    const ends = type === FRONTEND.Sync || (this.#endsWith === 'first_message' && isBatch);
    this.#endsWith = 'sync';
    return ends;
  }
}
