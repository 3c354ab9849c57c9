/** Errors that mention shared statements, told with the names that the client gave them. */
import { BACKEND } from '../../../wire/postgres/message-types.ts';
import { frameHead } from './messages.ts';
import { NAME_PREFIX } from './statement-catalogue.ts';

const SHARED_NAME = new RegExp(`${NAME_PREFIX}[0-9a-z]+`, 'g');

/**
 * @param body a whole ErrorResponse without its header
 * @returns the message in the client's names; undefined when it mentions no shared statement
 */
export function errorInOwnNames(
  body: Buffer,
  ownName: (shared: string) => string | undefined,
): Buffer | undefined {
  if (!body.includes(NAME_PREFIX)) return undefined;
  const text = body
    .toString('latin1')
    .replaceAll(SHARED_NAME, (shared) => ownName(shared) ?? shared);
  const head = frameHead(BACKEND.ErrorResponse, [], text.length);
  return Buffer.concat([head, Buffer.from(text, 'latin1')]);
}
