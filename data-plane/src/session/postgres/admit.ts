/**
 * Whether a client that has proved who it is may come from where it comes.
 * Only then: whoever has not proved it must not be able to tell a tenant with rules from one that
 * does not exist, nor a user that is let in from elsewhere from one that is not there at all.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { judgeAccess } from '../../access/access-rules.ts';
import type { AccessRequest } from '../../access/access-rules.ts';
import { describeClient } from '../../access/client-address.ts';
import type { ClientAddress } from '../../access/client-address.ts';
import { accessRefused } from '../access-changes.ts';
import type { ResolvedTenant } from './greeting.ts';
import type { SessionServices } from './services.ts';

/** What the rules were asked, for when they change. @throws AppError ACCESS_REFUSED */
export function admit(
  socket: Socket,
  address: ClientAddress,
  { meter, log }: Pick<SessionServices, 'meter' | 'log'>,
  { tenant, user, database }: ResolvedTenant,
): AccessRequest {
  const encryption = socket instanceof TLSSocket ? 'tls' : 'none';
  const access: AccessRequest = { address, encryption, user, database };
  const verdict = judgeAccess(tenant.access, access);
  if (verdict === 'allowed') return access;
  meter.tenant(tenant.id, tenant.protocol).authFailed('access_refused');
  const client = describeClient(address);
  log.warn({ tenant: tenant.id, user, database, client, reason: verdict }, 'login refused');
  throw accessRefused(access);
}
