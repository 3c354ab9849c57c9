/**
 * The proxy's own HTTP port: is it alive, is it ready, what does it count. Read only, without
 * authentication.
 * Owns: paths and statuses. Leaves: what ready means to life-cycle.ts, the metrics to metrics.ts.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { MetricsPage } from './metrics.ts';

export type Readiness =
  | { readonly kind: 'ready' }
  | { readonly kind: 'not_ready'; readonly reason: 'no_config' | 'not_listening' | 'draining' };

export interface TelemetryServerOptions {
  readonly host?: string | undefined;
  /** 0 picks a free one. */
  readonly port: number;
  readonly readiness: () => Readiness;
  readonly metrics: () => Promise<MetricsPage>;
  readonly log: Logger;
}

export interface TelemetryServer {
  readonly port: number;
  /** Ends open requests too. */
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 256;
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Answers on `port` until it is closed:
 * - `/health`, `/healthz`: 200 as long as the process runs; no tenant and no bus can change that
 * - `/ready`: 200, or 503 with the reason
 * - `/metrics`: Prometheus text
 * @throws SETTINGS_INVALID the port cannot be opened
 */
export async function startTelemetryServer(
  options: TelemetryServerOptions,
): Promise<TelemetryServer> {
  const server = createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => void answer(options, request, response),
  );
  server.maxConnections = CONNECTIONS_MAX;
  server.on('clientError', refuse);
  await listen(server, options);
  server.on('error', (error) => options.log.error({ error }, 'metrics port failed'));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, { port, host }: TelemetryServerOptions): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw sharedErrors.fail('SETTINGS_INVALID', `Metrics port ${port} cannot be opened: ${code}`, {
      hint: 'Choose another with --metrics-port.',
      cause,
    });
  }
}

async function answer(
  options: TelemetryServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // A request's body means nothing here, but must not stay in the socket.
  request.resume();
  try {
    if (request.method === 'GET' || request.method === 'HEAD')
      await route(options, request, response);
    else {
      response.setHeader('Allow', 'GET, HEAD');
      sendJson(response, 405, { error: 'method not allowed' });
    }
  } catch (error) {
    options.log.error({ error, url: request.url }, 'metrics request failed');
    if (response.headersSent) response.destroy();
    else sendJson(response, 500, { error: 'internal error' });
  }
}

async function route(
  { readiness, metrics }: TelemetryServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  switch (path) {
    case '/health':
    case '/healthz':
      sendJson(response, 200, { status: 'ok' });
      return;
    case '/ready': {
      const state = readiness();
      if (state.kind === 'ready') sendJson(response, 200, { status: 'ready' });
      else sendJson(response, 503, { status: 'not_ready', reason: state.reason });
      return;
    }
    case '/metrics': {
      const { contentType, text } = await metrics();
      response.writeHead(200, { 'Content-Type': contentType }).end(text);
      return;
    }
    default:
      sendJson(response, 404, { error: 'not found' });
  }
}

function sendJson(response: ServerResponse, status: number, body: Readonly<object>): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}

/** Bytes that are no HTTP: one short answer where it can still be read, then the end. */
function refuse(_error: Error, socket: Socket): void {
  if (socket.writable) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  } else socket.destroy();
}
