/**
 * kill -9 of the control plane amid writes with keys: whatever the sender knows, repeating each of
 * them does each exactly once.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';

const API_KEY = 'key-of-the-idempotency-test';
const SENDERS = 4;

interface Sent {
  readonly status: number;
  readonly text: string;
  readonly replayed: string | null;
}

tellLogsOfFailures();

describe('kill -9 of the control plane amid writes with keys', () => {
  it('does each once when each is repeated, over three lives', async () => {
    const plane = await DbbouncerProcess.start({
      command: 'up',
      env: { DBBOUNCER_API_KEY: API_KEY },
    });
    try {
      const registered = await send(plane, 'POST', '/tenants', 'register', {
        id: 'acme',
        db_type: 'postgres',
        host: '127.0.0.1',
        dbname: 'd',
        username: 'u',
        password: 'p',
      });
      assert.equal(registered.status, 201, registered.text);
      const keys: string[] = [];
      const answered = new Map<string, Sent>();
      for (const [life, count] of [20, 60, 130].entries()) {
        await writeUntilKilled(plane, `life-${life}`, count, keys, answered);
        await plane.start();
        for (const key of keys) {
          const repeated = await reconnect(plane, key);
          assert.equal(repeated.status, 200, repeated.text);
          const first = answered.get(key);
          if (first === undefined) answered.set(key, repeated);
          else assert.deepEqual([repeated.text, repeated.replayed], [first.text, 'true'], key);
        }
        const { text } = await send(plane, 'GET', '/tenants/acme', 'none');
        const { version } = JSON.parse(text) as { readonly version: number };
        assert.equal(version, 1 + keys.length, 'each key made one event');
      }
    } finally {
      await plane.kill();
    }
  });
});

/** Sends from several senders at once, kills after `count` answers, and records both. */
async function writeUntilKilled(
  plane: DbbouncerProcess,
  name: string,
  count: number,
  keys: string[],
  answered: Map<string, Sent>,
): Promise<void> {
  let life: 'on' | 'over' = 'on';
  let done = 0;
  let killed: Promise<void> | undefined;
  const sender = async (own: number): Promise<void> => {
    for (let i = 0; life === 'on'; i++) {
      const key = `${name}-${own}-${i}`;
      keys.push(key);
      try {
        answered.set(key, await reconnect(plane, key));
      } catch {
        // Nobody knows whether it was done: that is what the key is for.
        return;
      }
      done += 1;
      if (done < count || killed !== undefined) continue;
      life = 'over';
      killed = plane.kill();
    }
  };
  await Promise.all(Array.from({ length: SENDERS }, (_, own) => sender(own)));
  await killed;
}

function reconnect(plane: DbbouncerProcess, key: string): Promise<Sent> {
  return send(plane, 'POST', '/tenants/acme/reconnect', key);
}

async function send(
  plane: DbbouncerProcess,
  method: string,
  path: string,
  key: string,
  body?: unknown,
): Promise<Sent> {
  const response = await fetch(plane.apiUrl + path, {
    method,
    headers: {
      authorization: `Bearer ${API_KEY}`,
      'idempotency-key': key,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, text, replayed: response.headers.get('idempotency-replayed') };
}
