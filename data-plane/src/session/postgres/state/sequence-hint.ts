/**
 * What a client is told in addition when it asks for the last value of a sequence in another
 * transaction than that of its nextval(): the server only says that there is none.
 * Source: PostgreSQL, src/backend/commands/sequence.c (lastval, currval_oid); manual, "Error and
 * Notice Message Fields".
 */
import { frameHead } from '../prepared/messages.ts';
import { BACKEND } from '../../../wire/postgres/message-types.ts';

/** object_not_in_prerequisite_state, raised by one of these routines. */
const CODE = Buffer.from('\0C55000\0');
const ROUTINES: readonly Buffer[] = [Buffer.from('\0Rlastval\0'), Buffer.from('\0Rcurrval_oid\0')];

const HINT = Buffer.from(
  'HIn transaction pooling the last value of a sequence is known in the transaction of its' +
    ' nextval() only: use RETURNING, ask in the same transaction, or set pool_mode to session.\0\0',
);

/** The ErrorResponse with a hint; undefined for any other error than that. @param body whole */
export function sequenceHint(body: Buffer): Buffer | undefined {
  if (!body.includes(CODE) || !ROUTINES.some((routine) => body.includes(routine))) return undefined;
  const fields = body.subarray(0, -1);
  return Buffer.concat([
    frameHead(BACKEND.ErrorResponse, [], fields.length + HINT.length),
    fields,
    HINT,
  ]);
}
