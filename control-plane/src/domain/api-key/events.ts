/**
 * What can have happened to an API key. Stored for ever: add fields or types, never change a
 * meaning. The key itself is in no event; `proof` is what recognises it, and leaves the log for
 * other control planes alone.
 */
import { z } from 'zod';
import { SCOPES } from './scopes.ts';

export const API_KEY_ID = /^[0-9a-f]{12}$/;

/** Enough to recognise a key, not enough to present one. */
export const keyProofSchema = z.strictObject({
  /** scrypt with its cost and salt, in the form of access/key-hash.ts. */
  hash: z.string(),
  /** For logins to the console, in PostgreSQL's form: `SCRAM-SHA-256$…`. */
  verifier: z.string(),
});
export type KeyProof = Readonly<z.infer<typeof keyProofSchema>>;

const rights = {
  name: z.string(),
  scope: z.enum(SCOPES),
  /** A glob over tenant ids; null reaches all. */
  tenants: z.string().nullable(),
  /** RFC 3339 in UTC with milliseconds; null never. */
  expiresAt: z.string().nullable(),
};

export const apiKeySchema = z.strictObject({
  id: z.string().regex(API_KEY_ID),
  ...rights,
  /** How it begins: tells keys apart in a list, and finds those a presented one may be. */
  prefix: z.string(),
  proof: keyProofSchema,
});
export type ApiKey = Readonly<z.infer<typeof apiKeySchema>>;

export const apiKeyChangesSchema = z.strictObject(rights).partial();
export type ApiKeyChanges = Readonly<z.infer<typeof apiKeyChangesSchema>>;

export const apiKeyEventSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('ApiKeyCreated'),
    data: z.strictObject({ key: apiKeySchema }),
  }),
  z.strictObject({
    type: z.literal('ApiKeyUpdated'),
    data: z.strictObject({ changes: apiKeyChangesSchema }),
  }),
  z.strictObject({ type: z.literal('ApiKeyRevoked'), data: z.strictObject({}) }),
]);
export type ApiKeyEvent = Readonly<z.infer<typeof apiKeyEventSchema>>;

const STREAM_PREFIX = 'api-key/';

export function apiKeyStream(id: string): string {
  return STREAM_PREFIX + id;
}

/** The id of the key a stream is about, or nothing when it is not a key's. */
export function apiKeyIdOfStream(stream: string): string | undefined {
  return stream.startsWith(STREAM_PREFIX) ? stream.slice(STREAM_PREFIX.length) : undefined;
}
