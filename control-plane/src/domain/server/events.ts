/**
 * What can have happened to a declared database server. Stored for ever, like every event.
 */
import { z } from 'zod';
import { serverConfigSchema, serverKey } from '@dbbouncer/shared/contract/database-servers.ts';

/** Who declared it: the config file removes what vanished from it, and only what is its own. */
export const serverOriginSchema = z.enum(['api', 'file']);
export type ServerOrigin = z.infer<typeof serverOriginSchema>;

/** It is as it was at this position again. */
const rolledBackTo = z.int().min(0).optional();

export const serverEventSchema = z.discriminatedUnion('type', [
  /** Declared, or another address or cap from now on: always the whole server. */
  z.strictObject({
    type: z.literal('ServerSet'),
    data: z.strictObject({
      server: serverConfigSchema,
      origin: serverOriginSchema,
      rolledBackTo,
    }),
  }),
  z.strictObject({
    type: z.literal('ServerRemoved'),
    data: z.strictObject({ rolledBackTo }),
  }),
]);
export type ServerEvent = Readonly<z.infer<typeof serverEventSchema>>;

export const SERVER_STREAM_PREFIX = 'server/';

export function serverStream(name: string): string {
  return SERVER_STREAM_PREFIX + serverKey(name);
}

/** The server key a stream is about, or nothing when it is not a server's. */
export function serverKeyOfStream(stream: string): string | undefined {
  return stream.startsWith(SERVER_STREAM_PREFIX)
    ? stream.slice(SERVER_STREAM_PREFIX.length)
    : undefined;
}
