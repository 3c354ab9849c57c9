/**
 * Which entry of outstanding.ts a client's message makes.
 * Source: PostgreSQL manual, "Message Formats".
 */
import { FRONTEND } from '../../wire/postgres/message-types.ts';
import {
  BIND,
  CLOSE,
  COPY_END,
  DESCRIBE,
  EXECUTE,
  FUNCTION_CALL,
  PARSE,
  QUERY,
  SYNC,
} from './outstanding.ts';
import type { RequestKind } from './outstanding.ts';

/**
 * The entry that a client's message makes, or 0 for one the server does not answer (Flush,
 * CopyData).
 */
export function requestKind(type: number): RequestKind | 0 {
  switch (type) {
    case FRONTEND.Query:
      return QUERY;
    case FRONTEND.Parse:
      return PARSE;
    case FRONTEND.Bind:
      return BIND;
    case FRONTEND.Describe:
      return DESCRIBE;
    case FRONTEND.Execute:
      return EXECUTE;
    case FRONTEND.Close:
      return CLOSE;
    case FRONTEND.Sync:
      return SYNC;
    case FRONTEND.FunctionCall:
      return FUNCTION_CALL;
    case FRONTEND.CopyDone:
    case FRONTEND.CopyFail:
      return COPY_END;
    default:
      return 0;
  }
}

/** Whether a message is about a statement by its text or name. */
export function isAboutStatements(type: number): boolean {
  return (
    type === FRONTEND.Query ||
    type === FRONTEND.Parse ||
    type === FRONTEND.Bind ||
    type === FRONTEND.Describe ||
    type === FRONTEND.Close
  );
}
