/**
 * Two control planes on one NATS server, as processes: who leads, what the other does, and what
 * became of every acknowledged write when the leader is killed or stands still.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { openLogOf, reading } from '@dbbouncer/control-plane/maintenance/data-folder.ts';
import { verifyLog } from '@dbbouncer/control-plane/maintenance/verify.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { dbbouncer } from '../support/processes.ts';

const API_KEY = 'a-key-of-the-tests-0123456789';
const MASTER_KEY = 'a master key for tests only';
const WRITERS = 8;
const ENV = {
  DBBOUNCER_MASTER_KEY: MASTER_KEY,
  DBBOUNCER_API_KEY: API_KEY,
  // Short, so that a take-over is too.
  DBBOUNCER_LEADER_LEASE: '2s',
};
const LEASE_MS = 2_000;
/** Others work on the machine too. */
const PATIENCE = { withinMs: 25_000 };

tellLogsOfFailures();

describe('two control planes', { timeout: 90_000 }, () => {
  let nats: NatsServer;
  let planes: readonly [DbbouncerProcess, DbbouncerProcess];
  /** Ids of tenants whose registration was acknowledged. */
  const acknowledged = new Set<string>();

  before(async () => {
    nats = await startNatsServer();
    const start = () =>
      DbbouncerProcess.start({
        command: 'control-plane',
        args: ['--nats', nats.url, '--durability', 'replicated', '--log-level', 'warn'],
        env: ENV,
      });
    planes = await Promise.all([start(), start()]);
  });
  after(async () => {
    await Promise.all(planes.map((plane) => plane.kill()));
    await nats.stop();
  });

  it('agree on one that leads, and the other passes writes on to it as they are', async () => {
    const [leader, standby] = await roles();
    const first = await register(standby, 'first', 'key-of-first');
    assert.equal(first.status, 201, first.text);
    acknowledged.add('first');
    const etag = first.headers.get('etag') ?? '';
    const again = await register(standby, 'first', 'key-of-first');
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    const change = { method: 'PATCH', body: { port: 6_000 } };
    const stale = await call(standby, '/tenants/first', {
      ...change,
      headers: { 'if-match': '"99"' },
    });
    assert.deepEqual([stale.status, stale.json['code']], [412, 'VERSION_CONFLICT']);
    const headers = { 'if-match': etag, 'x-request-id': 'request-of-mine' };
    const changed = await call(standby, '/tenants/first', { ...change, headers });
    assert.deepEqual(
      [changed.status, changed.headers.get('x-request-id')],
      [200, 'request-of-mine'],
    );
    const denied = await call(standby, '/tenants', { method: 'POST', body: {}, key: 'wrong' });
    assert.equal(denied.status, 401);
    await eventually('the standby has what was written', async () => {
      const { json } = await call(standby, '/tenants/first');
      return json['port'] === 6_000;
    });
    const looped = await call(standby, '/tenants', {
      method: 'POST',
      body: {},
      headers: { 'x-dbbouncer-forwarded-by': 'cp-other' },
    });
    assert.deepEqual([looped.status, looped.json['code']], [503, 'NOT_LEADER']);
    assert.equal(looped.json['leader'], leader.apiUrl);
  });

  it('lose no acknowledged write of 8 senders when the leader stands still for long', async () => {
    const [leader, standby] = await roles();
    const senders = new Senders(planes, acknowledged, 'stopped');
    await senders.have(50);
    process.kill(leader.pid, 'SIGSTOP');
    const leads = async () => (await roleOf(standby)) === 'leading';
    await eventually('the standby leads', leads, PATIENCE);
    const written = acknowledged.size;
    await senders.have(written + 50);
    process.kill(leader.pid, 'SIGCONT');
    await roles();
    await senders.have(acknowledged.size + 50);
    await senders.stop();
    assert.match(leader.log, /this control plane leads no more/);
  });

  it('lose none when the leader is killed, and the other leads within seconds', async (t) => {
    const [leader] = await roles();
    const senders = new Senders(planes, acknowledged, 'killed');
    await senders.have(acknowledged.size + 50);
    const killedMs = performance.now();
    await leader.kill();
    await senders.have(acknowledged.size + 50);
    const tookMs = performance.now() - killedMs;
    t.diagnostic(`writes went on ${Math.round(tookMs)} ms after the kill, lease ${LEASE_MS} ms`);
    assert.ok(tookMs < 4 * LEASE_MS, `${tookMs} ms`);
    await leader.start();
    await senders.have(acknowledged.size + 50);
    await senders.stop();
  });

  it('hold every acknowledged write once, in terms that follow on each other', async () => {
    await roles();
    const events = await eventually('both have all of it', async () => {
      const [one, two] = await Promise.all(planes.map(allEvents));
      return isDeepStrictEqual(one, two) ? one : undefined;
    });
    assert.deepEqual(
      events.map(({ position }) => position),
      events.map((_, index) => index + 1),
    );
    const registered = events.filter(({ type }) => type === 'TenantRegistered');
    const tenants = registered.map(({ tenant }) => tenant);
    assert.equal(new Set(tenants).size, tenants.length, 'none twice');
    for (const id of acknowledged) assert.ok(tenants.includes(id), `${id} is there`);
    const terms = events.map(({ epoch }) => epoch);
    assert.deepEqual(
      terms,
      terms.toSorted((a, b) => a - b),
    );
    const begun = events.filter(({ type }) => type === 'TermBegun').map(({ epoch }) => epoch);
    assert.equal(new Set(begun).size, begun.length, 'each term begins once');
    assert.ok(begun.length >= 3);
  });

  it('hand over at once when the leader is stopped, and leave two whole logs', async (t) => {
    const [leader, standby] = await roles();
    const beganMs = performance.now();
    await leader.stop();
    const leads = async () => (await roleOf(standby)) === 'leading';
    await eventually('the standby leads', leads, PATIENCE);
    t.diagnostic(`${Math.round(performance.now() - beganMs)} ms from SIGTERM to the next leader`);
    await standby.stop();
    for (const { dataDir } of planes) {
      const verdict = reading(openLogOf(dataDir), (log) => verifyLog(log));
      assert.equal(verdict.outcome, 'whole', JSON.stringify(verdict));
    }
    await Promise.all(planes.map((plane) => plane.start()));
    await roles();
  });

  it('refuse a third one with another master key, and one that writes alone', async () => {
    const [leader] = await roles();
    const other = await refusalOf(
      { ...ENV, DBBOUNCER_MASTER_KEY: 'another key for tests' },
      'replicated',
    );
    assert.match(other, /master key of this control plane is another one/);
    const alone = await refusalOf(ENV, 'full');
    assert.match(alone, /leads on this NATS/);
    assert.ok(alone.includes(leader.apiUrl), alone);
    assert.match(alone, /--durability replicated/);
  });

  it('write nothing more once the event stream was purged, and say what to do', async () => {
    const connection = await connect({ servers: nats.url });
    const manager = await jetstreamManager(connection);
    await manager.streams.purge(SUBJECTS.eventStream);
    await connection.close();
    for (const plane of planes) {
      const hasStopped = async () => (await roleOf(plane)) === 'stopped';
      await eventually('it has noticed', hasStopped, PATIENCE);
      const refused = await register(plane, 'late', 'key-of-late');
      assert.deepEqual([refused.status, refused.json['code']], [503, 'EVENT_STREAM_UNUSABLE']);
      assert.match(String(refused.json['detail']), /was purged.*with durability full/s);
      assert.equal((await call(plane, '/tenants/first')).status, 200);
    }
  });

  async function roles(): Promise<readonly [DbbouncerProcess, DbbouncerProcess]> {
    return await eventually(
      'one leads and one follows',
      async () => {
        const [a, b] = planes;
        const told = await Promise.all([roleOf(a), roleOf(b)]);
        if (told.join() === 'leading,following') return [a, b] as const;
        return told.join() === 'following,leading' ? ([b, a] as const) : undefined;
      },
      PATIENCE,
    );
  }

  async function refusalOf(env: Readonly<Record<string, string>>, durability: string) {
    const { dataDir } = planes[0];
    const own = [
      '--data-dir',
      `${dataDir}-${durability}`,
      '--api-port',
      '0',
      '--host',
      '127.0.0.1',
    ];
    const flags = ['--nats', nats.url, '--durability', durability];
    const { code, stderr } = await dbbouncer(['control-plane', ...own, ...flags], { env }).ended();
    assert.equal(code, 2, stderr);
    return stderr;
  }
});

/** Registers tenants over and over, at whichever control plane answers, each until it is done. */
class Senders {
  readonly #planes: readonly DbbouncerProcess[];
  readonly #acknowledged: Set<string>;
  readonly #running: Promise<void>[];
  #life: 'open' | 'closed' = 'open';

  constructor(planes: readonly DbbouncerProcess[], acknowledged: Set<string>, name: string) {
    this.#planes = planes;
    this.#acknowledged = acknowledged;
    this.#running = Array.from({ length: WRITERS }, (_, n) => this.#send(`${name}-${n}`));
  }

  async have(count: number): Promise<void> {
    await eventually(`${count} writes`, () => this.#acknowledged.size >= count, PATIENCE);
  }

  async stop(): Promise<void> {
    this.#life = 'closed';
    await Promise.all(this.#running);
  }

  /** At the one that answered last; at the other one when it does not. */
  async #send(name: string): Promise<void> {
    let tries = 0;
    for (let n = 1; this.#life === 'open'; n += 1) {
      const id = `${name}-${n}`;
      while (!this.#acknowledged.has(id)) {
        const plane = this.#planes[tries % this.#planes.length] as DbbouncerProcess;
        const status = await register(plane, id, `key-of-${id}`).then(
          (answer) => answer.status,
          () => 0,
        );
        assert.ok([201, 0, 502, 503].includes(status), `${id}: ${status}`);
        if (status === 201) this.#acknowledged.add(id);
        else tries += 1;
        if (status !== 201) await pause(20);
      }
    }
  }
}

interface Called {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly key?: string;
  readonly withinMs?: number;
}

async function call(plane: DbbouncerProcess, path: string, options: Called = {}) {
  const { method = 'GET', body, headers = {}, key = API_KEY, withinMs = 10_000 } = options;
  const response = await fetch(plane.apiUrl + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    // One that stands still answers nothing.
    signal: AbortSignal.timeout(withinMs),
  });
  const text = await response.text();
  const json = JSON.parse(text) as Readonly<Record<string, unknown>>;
  return { status: response.status, headers: response.headers, text, json };
}

function register(plane: DbbouncerProcess, id: string, key: string) {
  const tenant = { id, db_type: 'postgres', host: 'db', dbname: 'd', username: 'u', password: 'p' };
  const headers = { 'idempotency-key': key };
  return call(plane, '/tenants', { method: 'POST', body: tenant, headers, withinMs: 2_000 });
}

async function roleOf(plane: DbbouncerProcess): Promise<unknown> {
  const answer = await call(plane, '/health', { withinMs: 2_000 }).catch(() => undefined);
  return answer?.json['role'];
}

interface ShownEvent {
  readonly position: number;
  readonly type: string;
  readonly tenant: string | null;
  readonly epoch: number;
}

async function allEvents(plane: DbbouncerProcess): Promise<readonly ShownEvent[]> {
  const events: ShownEvent[] = [];
  for (;;) {
    const after = events.at(-1)?.position ?? 0;
    const { json } = await call(plane, `/events?order=asc&limit=500&after=${after}`);
    const page = json['events'] as readonly ShownEvent[];
    if (page.length === 0) return events;
    events.push(...page);
  }
}
