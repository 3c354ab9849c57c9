/**
 * Fields that several parts of a tenant, or a server as well, are made of, as people write them.
 */
import { z } from 'zod';

const OWN_VARIABLE = /^\$\{DBBOUNCER_/;
// oxlint-disable-next-line no-control-regex -- the wire protocols end their strings with NUL
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/** NAMEDATALEN - 1 of a PostgreSQL server. */
const NAME_BYTES_MAX = 63;

/** A name on a PostgreSQL server. */
export const nameSchema = z
  .string()
  .min(1)
  .max(63)
  .refine((text) => !CONTROL_CHARACTER.test(text), {
    error: 'must not contain control characters',
  })
  .refine((text) => text.isWellFormed(), { error: 'must be well-formed Unicode' })
  .refine((text) => Buffer.byteLength(text) <= NAME_BYTES_MAX, {
    error: `must have at most ${NAME_BYTES_MAX} bytes in UTF-8`,
  });

/** As written: the password itself, or where it is. */
export const passwordSchema = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => !text.includes('\0'), { error: 'must not contain a NUL character' })
  .refine((text) => text.isWellFormed(), { error: 'must be well-formed Unicode' })
  .refine((text) => !OWN_VARIABLE.test(text), {
    error: 'must not refer to a DBBOUNCER_ variable: those hold the keys of DBBouncer itself',
  })
  .meta({
    description:
      'Never returned. `${NAME}` as the whole value names an environment variable of the proxy,' +
      ' `file:/path` a file there; anything else is the password itself.',
    writeOnly: true,
  });

export const sqlSchema = z
  .string()
  .regex(/\S/, { error: 'must not be empty' })
  .max(16_384)
  .refine((text) => !text.includes('\0'), { error: 'must not contain a NUL character' })
  .refine((text) => text.isWellFormed(), { error: 'must be well-formed Unicode' });

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?$/;
// oxlint-disable-next-line no-control-regex -- no path that anybody means has one
const SOCKET_FOLDER = /^\/[^\u0000-\u001f\u007f]*$/;
const IPV6_ADDRESS = /^(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?$/;

/** sun_path has 107, of which a file `/.s.PGSQL.65535` needs 15. */
const SOCKET_FOLDER_BYTES_MAX = 92;

export const hostSchema = z
  .string()
  .min(1)
  .max(255)
  .refine((text) => HOST_NAME.test(text) || IPV6_ADDRESS.test(text) || SOCKET_FOLDER.test(text), {
    error:
      'must be a host name or an IP address alone, without scheme, port or path, or the absolute' +
      ' path of a folder with a socket file',
  })
  .refine((text) => !text.startsWith('/') || Buffer.byteLength(text) <= SOCKET_FOLDER_BYTES_MAX, {
    error: `must have at most ${SOCKET_FOLDER_BYTES_MAX} bytes as the folder of a socket file`,
  })
  .meta({
    description:
      'Host name or IP address of the database server, or the folder of its socket file.',
  });

export const portSchema = z.int().min(1).max(65_535);

/** A field of an answer that is sent back with it. */
export const ignored = z
  .unknown()
  .optional()
  .meta({ readOnly: true, description: 'Ignored on writes.' });
