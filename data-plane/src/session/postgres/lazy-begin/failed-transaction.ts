/**
 * Speaks with a client whose transaction has failed before any server has begun it: the BEGIN in
 * front of its first statement was cancelled or refused, or the client gave up waiting for a server
 * connection. Nothing of it has run, and there is nothing to roll back but the client's belief.
 * What ends the transaction is answered; all else is refused, as a server refuses it. Left out are
 * named statements that would be made or closed just then: they are refused too.
 * Source: PostgreSQL 18, src/backend/tcop/postgres.c (IsAbortedTransactionBlockState).
 */
import {
  encodeCloseComplete,
  encodeEmptyQueryResponse,
} from '../../../wire/postgres/backend-messages.ts';
import {
  FRONTEND,
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from '../../../wire/postgres/message-types.ts';
import { answerBetweenBatches } from '../between-batches.ts';
import type { TextEffects } from '../sql/effects.ts';
import { boundName, queryText, unnamedParseText } from './local-batch.ts';
import type { LocalMessage, LocalTexts } from './local-batch.ts';
import { BOUND, COMPLETED, NO_DATA, PARSED, READY } from './local-replies.ts';

/** `server`: it is for a server, after all. */
export type LocalAnswer = 'answered' | 'refused' | 'server';

/** Whether another transaction begins at once. */
export type Chain = 'chain' | 'no_chain';

export interface FailedHost {
  readonly texts: LocalTexts;
  write(bytes: Buffer): void;
  /**
   * The transaction is over. @param replies what the client reads first @param ready ReadyForQuery
   * behind them, when it is due
   */
  ended(chain: Chain, replies: Buffer, ready: 'ready' | 'not_yet'): void;
}

const PORTAL = 0x50;
const CLOSED = encodeCloseComplete();
const EMPTY_QUERY = Buffer.concat([encodeEmptyQueryResponse(), READY[TRANSACTION_FAILED]]);

export class FailedTransaction {
  readonly #host: FailedHost;
  /** What the portals that were bound would end it with. */
  #bound: Chain | undefined;

  constructor(host: FailedHost) {
    this.#host = host;
  }

  answer(message: LocalMessage): LocalAnswer {
    switch (message.type) {
      case FRONTEND.Query:
        return this.#query(message);
      case FRONTEND.Parse:
        return this.#parse(message);
      case FRONTEND.Bind:
        return this.#bind(message);
      case FRONTEND.Execute:
        return this.#execute();
      case FRONTEND.Describe:
        return this.#bound !== undefined && isOfPortal(message) ? this.#say(NO_DATA) : 'refused';
      case FRONTEND.Close:
        return isOfPortal(message) ? this.#say(CLOSED) : 'refused';
      default:
        return this.#other(message.type);
    }
  }

  #query(message: LocalMessage): LocalAnswer {
    const { watch } = this.#host.texts;
    const sql = queryText('any', message);
    if (sql === undefined) return 'refused';
    const effects = watch.texts.read(sql);
    const { statements } = effects;
    if (statements[0]?.kind === 'empty') return this.#say(EMPTY_QUERY);
    const chain = endOf(effects);
    // Rolled back with more behind it: a server does the same with a transaction that is open.
    if (chain !== undefined && statements.length > 1) {
      return statements[0]?.kind === 'rollback' ? 'server' : 'refused';
    }
    if (chain === undefined) return 'refused';
    watch.forgetUnnamed();
    watch.unnamedEnded();
    this.#host.ended(chain, COMPLETED.ROLLBACK, 'ready');
    return 'answered';
  }

  #parse(message: LocalMessage): LocalAnswer {
    const { watch } = this.#host.texts;
    const sql = unnamedParseText('any', message);
    if (sql === undefined) return 'refused';
    const effects = watch.texts.read(sql);
    if (effects.statements.length !== 1 || endOf(effects) === undefined) return 'refused';
    watch.unnamedParse(message.buffer.subarray(message.bodyStart, message.bodyEnd), effects);
    watch.unnamedEnded();
    return this.#say(PARSED);
  }

  #bind(message: LocalMessage): LocalAnswer {
    const { texts } = this.#host;
    const name = boundName(message);
    if (name === undefined) return 'refused';
    const effects = name === '' ? texts.watch.unnamedEffects : texts.statementOf(name)?.effects;
    const chain = effects?.statements.length === 1 ? endOf(effects) : undefined;
    if (chain === undefined) return 'refused';
    this.#bound = chain;
    return this.#say(BOUND);
  }

  #execute(): LocalAnswer {
    if (this.#bound === undefined) return 'refused';
    this.#host.ended(this.#bound, COMPLETED.ROLLBACK, 'not_yet');
    return 'answered';
  }

  #other(type: number): LocalAnswer {
    const answer = answerBetweenBatches(type);
    if (answer === 'server') return 'refused';
    return answer === 'ready' ? this.#say(READY[TRANSACTION_FAILED]) : 'answered';
  }

  #say(bytes: Buffer): 'answered' {
    this.#host.write(bytes);
    return 'answered';
  }
}

/** How a text's first statement ends a failed transaction; undefined for any other. */
function endOf({ statements: [first] }: TextEffects): Chain | undefined {
  return first?.kind === 'commit' || first?.kind === 'rollback' ? first.chain : undefined;
}

function isOfPortal({ buffer, bodyStart }: LocalMessage): boolean {
  return buffer[bodyStart] === PORTAL;
}

/** The status that the end of a transaction leaves. */
export function statusAfter(chain: Chain): typeof TRANSACTION_OPEN | typeof TRANSACTION_IDLE {
  return chain === 'chain' ? TRANSACTION_OPEN : TRANSACTION_IDLE;
}
