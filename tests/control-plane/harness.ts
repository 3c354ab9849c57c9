/**
 * A whole control plane on a free port and a data folder of its own, and a client that speaks HTTP
 * to it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startControlPlane } from '@dbbouncer/control-plane/app.ts';
import type { ControlPlane } from '@dbbouncer/control-plane/app.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { createPinoLogger } from '@dbbouncer/shared/logging/pino-logger.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';

export const API_KEY = 'test-key-0123456789';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; whatever it is, since tests assert on it. */
  readonly json: Readonly<Record<string, unknown>>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default is the right key. */
  readonly key?: string | undefined;
}

export class TestControlPlane implements AsyncDisposable {
  readonly dir: string;
  readonly bus: Bus;
  readonly #lines: string[] = [];
  readonly #busReach: 'private' | 'shared';
  #env: Readonly<Record<string, string>>;
  #running: ControlPlane | undefined;
  #registered = 0;

  /** @param busReach `shared`: what is published on the bus is signed */
  constructor(
    env: Readonly<Record<string, string>> = {},
    bus: Bus = createMemoryBus(),
    busReach: 'private' | 'shared' = 'private',
  ) {
    this.dir = mkdtempSync(join(tmpdir(), 'dbb-control-'));
    this.bus = bus;
    this.#busReach = busReach;
    this.#env = env;
  }

  /** For the next start. */
  setEnv(env: Readonly<Record<string, string>>): void {
    this.#env = env;
  }

  static async start(env: Readonly<Record<string, string>> = {}): Promise<TestControlPlane> {
    const plane = new TestControlPlane({ DBBOUNCER_API_KEY: API_KEY, ...env });
    await plane.start();
    return plane;
  }

  /** Everything logged so far, at the lowest level. */
  get log(): string {
    return this.#lines.join('');
  }

  get running(): ControlPlane {
    assert.ok(this.#running !== undefined, 'not started');
    return this.#running;
  }

  async start(): Promise<void> {
    const env = { DBBOUNCER_API_PORT: '0', DBBOUNCER_HOST: '127.0.0.1', ...this.#env };
    const { settings, file } = resolveSettings({ env, cwd: this.dir });
    const log = createPinoLogger('debug', {}, { write: (line) => void this.#lines.push(line) });
    this.#running = await startControlPlane(settings, {
      bus: this.bus,
      busReach: this.#busReach,
      clock: systemClock,
      log,
      file,
      readEnv: (name) => env[name as keyof typeof env],
      version: '0.0.0-test',
    });
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
    this.#running = undefined;
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const { body, headers = {} } = options;
    const key = 'key' in options ? options.key : API_KEY;
    const response = await fetch(this.running.apiUrl + path, {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: asJson(text) };
  }

  /** Registers a tenant of its own for one test. @returns its id */
  async register(extra: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const id = `t${(this.#registered += 1)}`;
    const answer = await this.call('POST', '/tenants', { body: tenantBody(id, extra) });
    assert.equal(answer.status, 201, answer.text);
    return id;
  }

  /** As a careful script changes something: reads its ETag, and writes on that version. */
  async change(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const [resource = path] = path.split('?');
    const reader = 'key' in options ? { key: options.key } : {};
    const etag = (await this.call('GET', resource, reader)).headers.get('etag');
    const headers = { ...(etag !== null && { 'if-match': etag }), ...options.headers };
    return this.call(method, path, { ...options, headers });
  }

  /** Waits until a log line matches, from the beginning of the log on. */
  async logged(pattern: RegExp, times = 1): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (this.#lines.filter((line) => pattern.test(line)).length < times) {
      assert.ok(performance.now() < deadline, `never logged ${pattern}:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.bus.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A body that registers a PostgreSQL tenant. */
export function tenantBody(
  id: string,
  extra: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return {
    id,
    db_type: 'postgres',
    host: 'db.example.com',
    dbname: `${id}_db`,
    username: 'app',
    password: 'hunter2-planted',
    ...extra,
  };
}

/** Asserts the one form of refusals and gives it. */
export function assertProblem(answer: Answer, status: number, code: string): Answer['json'] {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  const problem = answer.json;
  assert.equal(problem['code'], code);
  assert.equal(problem['status'], status);
  assert.equal(problem['type'], `urn:dbbouncer:error:${code}`);
  assert.equal(problem['request_id'], answer.headers.get('x-request-id'));
  assert.ok(String(problem['title']).length > 0 && String(problem['detail']).length > 0);
  return problem;
}

function asJson(text: string): Answer['json'] {
  try {
    return JSON.parse(text) as Answer['json'];
  } catch {
    return {};
  }
}
