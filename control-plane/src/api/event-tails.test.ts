/** Tails with a clock that is turned by hand: keep-alive, and readers that take nothing. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fastifySSE } from '@fastify/sse';
import fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { controlErrors } from '../errors.ts';
import { History } from '../history/history.ts';
import { projectViews } from '../projections/tenant-views.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { EventTails, TAIL_LIMITS } from './event-tails.ts';

const KEEP_ALIVE_MS = 20;
const LARGE = 'x'.repeat(60_000);

let clock: ManualClock;
let store: EventStore;
let api: FastifyInstance;
let socket: Socket;
let mayGoOn: () => Promise<void>;
beforeEach(async () => {
  clock = new ManualClock();
  mayGoOn = async () => {};
  store = createMemoryEventStore({ clock, project: projectViews });
  api = fastify();
  await api.register(fastifySSE, { heartbeatInterval: KEEP_ALIVE_MS });
  const tails = new EventTails({ history: new History(store), clock, log: silentLogger });
  api.get('/events', { sse: { kind: 'dual' } }, async (_request, reply) => {
    await tails.follow(reply, 0, { actor: 'tester', filter: {}, mayGoOn: () => mayGoOn() });
  });
  await api.listen({ host: '127.0.0.1', port: 0 });
  socket = connect((api.server.address() as AddressInfo).port, '127.0.0.1');
  socket.write('GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n');
});
afterEach(async () => {
  socket.destroy();
  api.server.closeAllConnections();
  await api.close();
  store.close();
});

function append(id: string): void {
  const serverTls = { mode: 'verify-ca', ca: LARGE } as const;
  const tenant = sampleTenant({ id: id as TenantId, serverTls });
  store.append({
    stream: `tenant/${id}`,
    events: [{ type: 'TenantRegistered', data: { tenant, origin: 'api' } }],
    expectedVersion: 'no-stream',
    meta: { actor: 'tester', requestId: 'r' },
  });
}

async function readUntil(pattern: RegExp): Promise<string> {
  const chunks: string[] = [];
  let last = '';
  for await (const chunk of socket.setEncoding('utf8')) {
    chunks.push(String(chunk));
    // A look at all of it for each chunk would take minutes.
    last = last.slice(-1_000) + String(chunk);
    if (pattern.test(last)) break;
  }
  return chunks.join('');
}

describe('a tail', () => {
  it('sends a comment while there is nothing to tell', async () => {
    const text = await readUntil(/\n: [^\n]*heartbeat[^\n]*\n/);
    assert.match(text, /^HTTP\/1\.1 200 OK/);
    assert.match(text, /: events after position 0\nretry: 1000\n\n/);
  });

  it(`ends after ${TAIL_LIMITS.keepAliveMs} ms without events when it may not go on`, async () => {
    while (clock.pendingTimers === 0) await turn();
    mayGoOn = () => Promise.reject(controlErrors.fail('UNAUTHORIZED', 'The key is over.'));
    await clock.pass(TAIL_LIMITS.keepAliveMs);
    assert.match(await readUntil(/^event: end\ndata: .*\n\n/m), /"detail":"The key is over\."/);
  });

  it(`ends when what it sent is not taken for ${TAIL_LIMITS.stallMs} ms`, async () => {
    for (let n = 1; n <= 400; n++) append(`t${n}`);
    while (clock.pendingTimers === 0) await turn();
    await turnAround();
    assert.equal(clock.pendingTimers, 1, 'it waits for its reader, not in memory for ever');
    await clock.pass(TAIL_LIMITS.stallMs);
    const text = await readUntil(/^event: end\ndata: .*\n\n/m);
    const end = text.slice(text.lastIndexOf('event: end'));
    assert.match(end, /"code":"TAIL_TOO_SLOW"/);
    assert.match(end, /\d+ bytes were not taken within 30000 ms, and \d+ positions/);
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    assert.deepEqual(
      ids,
      Array.from({ length: ids.length }, (_, index) => index + 1),
    );
    assert.ok(ids.length < 400, 'what was not taken was never made');
  });

  it('goes on for a reader that comes back in time', async () => {
    for (let n = 1; n <= 400; n++) append(`t${n}`);
    while (clock.pendingTimers === 0) await turn();
    await turnAround();
    await clock.pass(TAIL_LIMITS.stallMs - 1);
    const text = await readUntil(/^id: 400$/m);
    assert.doesNotMatch(text, /^event: end$/m);
  });
});

/** Long enough for the kernel to have taken what it takes. */
async function turnAround(): Promise<void> {
  for (let n = 0; n < 200; n++) await turn();
}
