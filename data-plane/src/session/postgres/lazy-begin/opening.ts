/**
 * A BEGIN that a client was told has happened, and how it is sent in front of the transaction's
 * first statement: as Parse, Bind and Execute without Sync, so that a server that refuses it skips
 * what is behind it.
 * Source: PostgreSQL manual, "Extended Query" in Message Flow; PostgresMain's ignore_till_sync,
 * which a Query does not end.
 */
import {
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeParse,
} from '../../../wire/postgres/frontend-messages.ts';
import { TextCache } from '../sql/text-cache.ts';
import { LOCAL_TEXT_BYTES_MAX } from './local-text.ts';
import type { BeginTag } from './local-text.ts';

export interface Opening {
  readonly tag: BeginTag;
  /** Parse, Bind, Execute. */
  readonly message: Buffer;
  /** The same, and Close: a BEGIN that came as Query leaves no portal. */
  readonly messageClosing: Buffer;
}

const known = new TextCache<Opening>({
  entriesMax: 256,
  lengthMax: 64 * 1024,
  textLengthMax: LOCAL_TEXT_BYTES_MAX,
});

/** @param sql the client's own text (latin1) @param tag what it is answered with */
export function openingOf(sql: string, tag: BeginTag): Opening {
  return known.get(sql, () => {
    const message = Buffer.concat([
      encodeParse({ statement: '', sql, parameterTypes: [] }, 'latin1'),
      encodeBind(),
      encodeExecute({ portal: '', maxRows: 0 }),
    ]);
    const close = encodeClose({ target: 'portal', name: '' });
    return Object.freeze({ tag, message, messageClosing: Buffer.concat([message, close]) });
  });
}
