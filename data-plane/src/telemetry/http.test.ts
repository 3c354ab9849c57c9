/**
 * Health, readiness and metrics as orchestrators and scrapers ask for them over HTTP, also when
 * they ask wrongly, and a server that closes while they hold on.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { startTelemetryServer } from './http.ts';
import type { Readiness, TelemetryServer } from './http.ts';

let server: TelemetryServer;
let readiness: Readiness = { kind: 'ready' };
let metrics = async () => ({ contentType: 'text/plain', text: 'x 1\n' });

before(async () => {
  server = await startTelemetryServer({
    host: '127.0.0.1',
    port: 0,
    readiness: () => readiness,
    metrics: async () => await metrics(),
    log: silentLogger,
  });
});
after(async () => {
  await server.close();
});

async function get(path: string, method = 'GET') {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  return { status: response.status, text: await response.text() };
}

/** Everything the server says to these bytes until it ends the connection. */
async function send(bytes: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => (answer += data.toString('latin1')));
  socket.on('error', () => {});
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

describe('telemetry server', () => {
  it('answers /health and /healthz with 200, ready or not', async () => {
    readiness = { kind: 'not_ready', reason: 'no_config' };
    for (const path of ['/health', '/healthz', '/health?verbose']) {
      assert.deepEqual(await get(path), { status: 200, text: '{"status":"ok"}\n' });
    }
  });

  for (const reason of ['no_config', 'not_listening', 'draining'] as const) {
    it(`answers /ready with 503 and the reason ${reason}`, async () => {
      readiness = { kind: 'not_ready', reason };
      const { status, text } = await get('/ready');
      assert.equal(status, 503);
      assert.deepEqual(JSON.parse(text), { status: 'not_ready', reason });
    });
  }

  it('answers /ready with 200 once it is', async () => {
    readiness = { kind: 'ready' };
    assert.deepEqual(await get('/ready'), { status: 200, text: '{"status":"ready"}\n' });
  });

  it('answers /metrics with the page', async () => {
    assert.deepEqual(await get('/metrics'), { status: 200, text: 'x 1\n' });
  });

  it('answers HEAD without a body', async () => {
    assert.deepEqual(await get('/health', 'HEAD'), { status: 200, text: '' });
  });

  it('answers 500 when the page fails, and serves on', async () => {
    const former = metrics;
    metrics = async () => await Promise.reject(new Error('broken'));
    assert.equal((await get('/metrics')).status, 500);
    metrics = former;
    assert.equal((await get('/metrics')).status, 200);
  });

  it('answers any other path with 404 and any other method with 405', async () => {
    for (const path of ['/', '/metrics/', '/healthz/x', '/%00', '//ready']) {
      assert.equal((await get(path)).status, 404, path);
    }
    assert.equal((await get('/metrics', 'POST')).status, 405);
  });

  it('answers bytes that are no HTTP with 400 and stays up', async () => {
    assert.match(await send('\u0000\u0000\u0000\u0008\u0004\u00d2\u0016\u002f'), /^HTTP\/1.1 400 /);
    assert.match(
      await send(`GET / HTTP/1.1\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`),
      /^HTTP\/1.1 400 /,
    );
    assert.equal((await get('/health')).status, 200);
  });

  it('refuses a port that is taken, naming it', async () => {
    const options = { host: '127.0.0.1', port: server.port, log: silentLogger };
    await assert.rejects(
      startTelemetryServer({ ...options, readiness: () => readiness, metrics }),
      {
        code: 'SETTINGS_INVALID',
        message: `Metrics port ${server.port} cannot be opened: EADDRINUSE`,
      },
    );
  });

  it('closes although a client keeps its connection open', async () => {
    const own = await startTelemetryServer({
      host: '127.0.0.1',
      port: 0,
      readiness: () => readiness,
      metrics,
      log: silentLogger,
    });
    const socket = connect(own.port, '127.0.0.1');
    await once(socket, 'connect');
    const closed = once(socket, 'close');
    await own.close();
    await closed;
  });
});
