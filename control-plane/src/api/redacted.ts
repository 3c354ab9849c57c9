/** Events and deltas for people: every secret in them replaced by where it is. */
import { secretSchema } from '@dbbouncer/shared/contract/secret.ts';
import { describeSecret } from '@dbbouncer/shared/secrets/password.ts';
import { keyProofSchema } from '../domain/api-key/events.ts';

/** The same JSON value; in the place of a secret "sealed", `${NAME}` or `file:/path`. */
export function redacted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(redacted);
  const secret = 'kind' in value ? secretSchema.safeParse(value) : undefined;
  if (secret?.success === true) return describeSecret(secret.data);
  // What recognises an API key is as good as it for whoever can guess.
  if ('verifier' in value && keyProofSchema.safeParse(value).success) return 'hashed';
  return redactedMembers(value);
}

export function redactedMembers(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, redacted(value)]));
}
