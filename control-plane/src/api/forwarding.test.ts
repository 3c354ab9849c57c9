/** A write that was passed on to a leader which stands still, or cannot be believed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { describe, it } from 'node:test';
import Fastify from 'fastify';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { Authority } from '../../../tests/support/certificates.ts';
import type { CoreStatus } from '../core.ts';
import { forwardWrites } from './forwarding.ts';

/** A control plane that follows the one at `apiUrl`, and what it answers writes with. */
function followerOf(apiUrl: string, term: () => number) {
  const replica = { role: 'following', id: 'cp-2', problem: undefined } as const;
  const status = () => {
    const leader = { id: 'cp-1', apiUrl, term: term() };
    return { replica: { ...replica, leader } } as unknown as CoreStatus;
  };
  const api = Fastify();
  forwardWrites(api, { core: { status }, clock: systemClock });
  api.post('/tenants', async () => 'done here');
  const failures: { readonly code?: string; readonly message: string }[] = [];
  api.setErrorHandler(async (error: Error & { readonly code?: string }) => {
    failures.push(error);
    return 'failed';
  });
  return { api, failures, write: () => api.inject({ method: 'POST', url: '/tenants' }) };
}

async function urlOf(server: Server, scheme: string): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('a write that was passed on', { timeout: 10_000 }, () => {
  it('is answered as soon as another term begins, while its leader is silent', async () => {
    const silent = createServer();
    let term = 1;
    const { api, failures, write } = followerOf(await urlOf(silent, 'http'), () => term);
    const asked = once(silent, 'request');
    const answer = write();
    await asked;
    term = 2;
    await answer;
    assert.equal(failures[0]?.code, 'FORWARDING_FAILED');
    assert.match(failures[0].message, /term 2 has begun meanwhile/);
    silent.closeAllConnections();
    silent.close();
    await api.close();
  });

  it('says what to set when the certificate of the leader is not believed', async () => {
    const authority = await Authority.create('unknown');
    const { cert, key } = await authority.issue({ commonName: 'cp-1', ips: ['127.0.0.1'] });
    const leader = createTlsServer({ cert, key });
    const { api, failures, write } = followerOf(await urlOf(leader, 'https'), () => 1);
    await write();
    assert.equal(failures[0]?.code, 'NOT_LEADER');
    assert.match(failures[0].message, /certificate .* NODE_EXTRA_CA_CERTS/);
    leader.close();
    await api.close();
  });
});
