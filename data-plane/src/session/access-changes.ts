/**
 * Ends the sessions that the changed access rules of their tenant no longer let in, each between
 * its transactions: who is cut off by an operator should not go on until it happens to reconnect.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { judgeAccess } from '../access/access-rules.ts';
import type { AccessRequest } from '../access/access-rules.ts';
import { describeClient } from '../access/client-address.ts';
import { proxyErrors } from '../errors.ts';
import type { Router } from '../routing/router.ts';
import { tenantChanges } from '../routing/snapshot.ts';
import type { Session, SessionRegistry } from './session.ts';

export function endForbiddenSessions(router: Router, registry: SessionRegistry): void {
  router.onSwap((previous, next) => {
    for (const { key, before, after } of tenantChanges(previous, next, 'known')) {
      if (before === undefined || after === undefined || before.access === after.access) continue;
      const isForbidden = ({ tenantKey, access }: Session) =>
        tenantKey === key &&
        access !== undefined &&
        judgeAccess(after.access, access) !== 'allowed';
      for (const session of registry.where(isForbidden)) {
        session.endWhenIdle(accessRefused(session.access as AccessRequest));
      }
    }
  });
}

/** What a client reads that has proved who it is and may not come from where it comes. */
export function accessRefused({ address, encryption, user, database }: AccessRequest): AppError {
  const where = `from ${describeClient(address)} ${encryption === 'tls' ? 'with' : 'without'} TLS`;
  const asked = database === undefined ? '' : ` to database "${database}"`;
  const message = `no access rule allows user "${user}"${asked} ${where}`;
  return proxyErrors.fail('ACCESS_REFUSED', message, {
    hint: 'Connect from an address that the "access" rules of the tenant allow, or change them.',
  });
}
