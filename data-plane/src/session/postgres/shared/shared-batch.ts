/**
 * One client's batch on its way through a shared server connection, and what its client hears.
 * Owns: the words between the lane and sessions. A batch is answered by exactly one of `answered`,
 * `returned` and `failed`, unless its client leaves it first.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { encodeReadyForQuery, TRANSACTION_IDLE } from '../../../wire/postgres/backend-messages.ts';
import { encodeSync } from '../../../wire/postgres/frontend-messages.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { encodePostgresError } from '../../client-error.ts';
import type { TextEffects } from '../sql/effects.ts';

/** Why a batch comes back before a byte of a reply to it was relayed: to be run by itself. */
export type ReturnReason =
  /** It wanted to write after all (25006). */
  | 'read_only'
  /** It ended in another error, which is told in the client's own words when it runs by itself. */
  | 'refused'
  | 'server_lost'
  /** What is before it takes too long. */
  | 'stalled'
  /** A neighbour's cancel hit it. */
  | 'cancelled_for_another'
  /** A neighbour's client takes its result too slowly. */
  | 'slow_reader'
  /** It waited for the lane in vain. */
  | 'not_placed';

/** How much of a message was relayed when a reply breaks off. */
export type Relayed = 'whole_messages' | 'within_a_message';

export interface BatchClient {
  /**
   * Bytes of the reply, in order, borrowed for the call. @returns how much the client has yet to
   * take, in bytes
   */
  relay(run: Buffer, from: PostgresBackend): number;
  /** The proxy's own words in place of a reply. */
  say(words: Buffer): void;
  /** The reply was relayed whole, ReadyForQuery included. */
  answered(): void;
  /** No byte was relayed, and none will be: the batch is the client's again. */
  returned(reason: ReturnReason): void;
  /** The rest of the reply will not come. */
  failed(error: AppError, relayed: Relayed): void;
  /** What the client calls the statement of this shared name. */
  ownStatementName(shared: string): string | undefined;
}

/** What becomes of the statement that the client parses is for the client to note. */
export type ParseOutcome = 'none' | 'parsed' | 'refused';

/**
 * Where the client's own Parse of a named statement is answered: `sent` to the server, or `assumed`
 * to succeed, as the connection has the statement, or will have it then.
 */
export type ClientParse = 'none' | 'sent' | 'assumed';

/** A batch about a named statement, to the memory of what its connection has. */
export interface StatementUse {
  readonly clientParse: ClientParse;
  /** Whether the connection has the statement, as far as it has answered. */
  readonly isThere: boolean;
  parsed(): void;
  /** It was not parsed, or is of no use any more. */
  failed(which: 'not_parsed' | 'outdated'): void;
}

/** The client has asked for that, or a time limit of it; and what it reads. */
export interface Cancelled {
  readonly error: AppError;
  /** In whose words, where the server has said that it was cancelled. */
  readonly explained: 'by_server' | 'by_proxy';
}

export interface SharedBatchOptions {
  readonly client: BatchClient | undefined;
  readonly bytes: Buffer;
  readonly effects: TextEffects | undefined;
  readonly expectedUs: number;
  readonly injectedReplies: number;
  /** Of one about a named statement. */
  readonly statement: StatementUse | undefined;
}

export class SharedBatch {
  /** Nobody any more: late replies are dropped. */
  client: BatchClient | undefined;
  /** What is sent for it, injected messages included. */
  readonly bytes: Buffer;
  /** What it is to the memory of service times; nothing for what the proxy sends itself. */
  readonly effects: TextEffects | undefined;
  readonly expectedUs: number;
  /** Replies to messages the client did not send, which come first. */
  readonly injectedReplies: number;
  readonly statement: StatementUse | undefined;
  relayed: 'nothing' | 'some' = 'nothing';
  cancelled: 'no' | Cancelled = 'no';
  parse: ParseOutcome = 'none';
  /** Since nothing is before it; 0 while something is. */
  begunMs = 0;

  constructor(options: SharedBatchOptions) {
    this.client = options.client;
    this.bytes = options.bytes;
    this.effects = options.effects;
    this.expectedUs = options.expectedUs;
    this.injectedReplies = options.injectedReplies;
    this.statement = options.statement;
  }
}

const readyIdle = encodeReadyForQuery(TRANSACTION_IDLE);

/** A Sync of the proxy's own: behind its reply, nothing that was sent before is under way. */
export function roundTrip(): SharedBatch {
  return new SharedBatch({
    client: undefined,
    bytes: encodeSync(),
    effects: undefined,
    expectedUs: 0,
    injectedReplies: 0,
    statement: undefined,
  });
}

/** A batch that was to be cancelled is not run again: its client reads that it was. */
export function giveBack(batch: SharedBatch, client: BatchClient, reason: ReturnReason): void {
  if (batch.cancelled === 'no') return client.returned(reason);
  client.say(cancelledReply(batch.cancelled.error));
  client.answered();
}

/** What a client reads whose batch was cancelled before the server had begun it. */
export function cancelledReply(error: AppError): Buffer {
  return Buffer.concat([encodePostgresError(error, 'ERROR'), readyIdle]);
}
