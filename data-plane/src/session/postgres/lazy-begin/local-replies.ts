/**
 * What a client reads of a batch that is answered without a server, byte for byte as a server would
 * say it.
 */
import {
  encodeBindComplete,
  encodeNoData,
  encodeParseComplete,
  encodeReadyForQuery,
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from '../../../wire/postgres/backend-messages.ts';
import type { TransactionStatus } from '../../../wire/postgres/backend-messages.ts';
import { encodeCommandComplete } from '../../../wire/postgres/result-messages.ts';
import type { LocalBatch } from './local-batch.ts';
import type { BeginTag, EndTag } from './local-text.ts';

export const PARSED = encodeParseComplete();
export const BOUND = encodeBindComplete();
export const NO_DATA = encodeNoData();

export const COMPLETED: Readonly<Record<BeginTag | EndTag, Buffer>> = Object.freeze({
  BEGIN: encodeCommandComplete('BEGIN'),
  'START TRANSACTION': encodeCommandComplete('START TRANSACTION'),
  COMMIT: encodeCommandComplete('COMMIT'),
  ROLLBACK: encodeCommandComplete('ROLLBACK'),
});

export const READY: Readonly<Record<TransactionStatus, Buffer>> = Object.freeze({
  [TRANSACTION_IDLE]: encodeReadyForQuery(TRANSACTION_IDLE),
  [TRANSACTION_OPEN]: encodeReadyForQuery(TRANSACTION_OPEN),
  [TRANSACTION_FAILED]: encodeReadyForQuery(TRANSACTION_FAILED),
});

const BEFORE: Readonly<Record<LocalBatch['messages'], readonly Buffer[]>> = Object.freeze({
  Q: [],
  BES: [BOUND],
  BDES: [BOUND, NO_DATA],
  PBES: [PARSED, BOUND],
  PBDES: [PARSED, BOUND, NO_DATA],
});

/** The replies to a whole batch. @param news what the client is to read before ReadyForQuery */
export function localReplies(
  messages: LocalBatch['messages'],
  tag: BeginTag | EndTag,
  status: TransactionStatus,
  news?: Buffer,
): Buffer {
  const done = [...BEFORE[messages], COMPLETED[tag]];
  return Buffer.concat([...done, ...(news === undefined ? [] : [news]), READY[status]]);
}
