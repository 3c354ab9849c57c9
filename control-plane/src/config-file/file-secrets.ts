/**
 * Passwords as the config file writes them: in clear, as a reference, or sealed by the master key
 * for their tenant, as `dbbouncer config export --sealed` does it.
 */
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { isSecretOf, toSecret } from '@dbbouncer/shared/secrets/password.ts';
import { fromSealedText } from '@dbbouncer/shared/secrets/sealed-text.ts';
import type { Secrets } from './plan.ts';

/** @throws SECRET_UNAVAILABLE for a sealed one that does not open for this tenant. */
export function secretsOf(keyring: Keyring): Secrets {
  const inClear = (id: string, written: string): string => {
    const sealed = fromSealedText(written);
    return sealed === undefined ? written : keyring.open(sealed, id);
  };
  return {
    make: (id, written, current) => toSecret(keyring, inClear(id, written), id, current),
    isSame: (id, written, secret) => isSecretOf(keyring, inClear(id, written), id, secret),
  };
}
