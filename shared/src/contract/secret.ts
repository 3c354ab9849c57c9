/**
 * A secret as it travels and rests: sealed, or named by reference. Clear text never has this type.
 * Sealing and opening are in secrets/.
 */
import { z } from 'zod';

export const secretSchema = z.discriminatedUnion('kind', [
  /** AES-256-GCM under the master key `keyId`; nonce and ciphertext (with tag) are base64. */
  z.strictObject({
    kind: z.literal('sealed'),
    keyId: z.string().min(1).max(64),
    nonce: z.base64(),
    ciphertext: z.base64(),
  }),
  /** An environment variable of the proxy that uses it. */
  z.strictObject({ kind: z.literal('env'), name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }),
  /** A file on the proxy that uses it; a trailing line end is not part of the secret. */
  z.strictObject({ kind: z.literal('file'), path: z.string().min(1).max(4096) }),
]);
export type Secret = Readonly<z.infer<typeof secretSchema>>;

/** Makes the secret of a written one; the current one is given when there is one. */
export type MakeSecret = (written: string, current: Secret | undefined) => Secret;
/** Says where a secret is, without saying it. */
export type DescribeSecret = (secret: Secret) => string;
