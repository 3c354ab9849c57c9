/** A write that was passed on to a leader which stands still. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import Fastify from 'fastify';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { CoreStatus } from '../core.ts';
import { forwardWrites } from './forwarding.ts';

describe('a write that was passed on', { timeout: 10_000 }, () => {
  it('is answered as soon as another term begins, while its leader is silent', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const apiUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const replica = { role: 'following', id: 'cp-2', problem: undefined } as const;
    let term = 1;
    const status = () =>
      ({ replica: { ...replica, leader: { id: 'cp-1', apiUrl, term } } }) as unknown as CoreStatus;
    const api = Fastify();
    forwardWrites(api, { core: { status }, clock: systemClock });
    api.post('/tenants', async () => 'done here');
    const codes: unknown[] = [];
    api.setErrorHandler(async (error: Error & { readonly code?: string }) => {
      codes.push(error.code, error.message);
      return 'failed';
    });
    const asked = once(silent, 'request');
    const answer = api.inject({ method: 'POST', url: '/tenants', payload: {} });
    await asked;
    term = 2;
    await answer;
    assert.equal(codes[0], 'FORWARDING_FAILED');
    assert.match(String(codes[1]), /term 2 has begun meanwhile/);
    silent.closeAllConnections();
    silent.close();
    await api.close();
  });
});
