/**
 * A sealed secret as a line of text, `sealed:<key id>:<nonce>:<ciphertext>`, so that a config file
 * can hold passwords that only the master key opens, each for its own tenant alone.
 * Leaves: opening to keyring.ts.
 */
import type { Secret } from '../contract/secret.ts';
import { secretSchema } from '../contract/secret.ts';

const SEALED_TEXT = /^sealed:([A-Za-z0-9_-]{1,64}):([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/;

export function toSealedText(secret: Extract<Secret, { kind: 'sealed' }>): string {
  return `sealed:${secret.keyId}:${secret.nonce}:${secret.ciphertext}`;
}

/** Nothing when the text is none. */
export function fromSealedText(text: string): Secret | undefined {
  const [, keyId, nonce, ciphertext] = SEALED_TEXT.exec(text) ?? [];
  const read = secretSchema.safeParse({ kind: 'sealed', keyId, nonce, ciphertext });
  return read.success ? Object.freeze(read.data) : undefined;
}
