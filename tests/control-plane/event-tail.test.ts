/** The tail of the event log over real HTTP: what it sends, where it goes on, how it ends. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { API_KEY, assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import { eventually } from '../support/eventually.ts';

interface Message {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A reader of server-sent events, as the standard says they are written. */
class Reader implements AsyncDisposable {
  readonly response: Response;
  readonly #abort: AbortController;
  readonly #chunks: AsyncIterator<string>;
  #text = '';

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    assert.ok(response.body !== null);
    this.#chunks = response.body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  }

  static async open(url: string, query = '', lastEventId?: string, key = API_KEY): Promise<Reader> {
    const abort = new AbortController();
    const response = await fetch(`${url}/events${query}`, {
      signal: abort.signal,
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${key}`,
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      },
    });
    return new Reader(response, abort);
  }

  /** The next block, comments alone included; nothing at the end. */
  async block(): Promise<string | undefined> {
    while (!this.#text.includes('\n\n')) {
      const { value, done } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#text += value;
    }
    const end = this.#text.indexOf('\n\n');
    const block = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 2);
    return block;
  }

  /** The next message; nothing at the end. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const block = await this.block();
      if (block === undefined) return undefined;
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (data === undefined) continue;
      const parsed = JSON.parse(data) as Message['data'];
      return { id: field('id'), event: field('event'), data: parsed };
    }
  }

  /** The ids of the next messages. */
  async ids(count: number): Promise<readonly (string | undefined)[]> {
    const ids: (string | undefined)[] = [];
    while (ids.length < count) ids.push((await this.next())?.id);
    return ids;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
  }
}

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let made = 0;
let head = 0;
beforeEach(async () => {
  head = Number((await plane.call('GET', '/fleet')).json['position']);
});

/** One event each; returns the id of the tenant. */
async function register(): Promise<string> {
  const id = `t${(made += 1)}`;
  const { status } = await plane.call('POST', '/tenants', { body: tenantBody(id) });
  assert.equal(status, 201);
  return id;
}

const open = (query?: string, lastEventId?: string) =>
  Reader.open(plane.running.apiUrl, query, lastEventId);
const openAs = (key: string) => Reader.open(plane.running.apiUrl, '', undefined, key);

describe('the tail of the event log', () => {
  it('sends each event as it is appended, with its position as the id', async () => {
    await using reader = await open();
    assert.match(reader.response.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.equal(reader.response.headers.get('cache-control'), 'no-store');
    const id = await register();
    const message = await reader.next();
    assert.equal(message?.id, String(head + 1));
    assert.equal(message.data['tenant'], id);
    const { json } = await plane.call('GET', `/events/${head + 1}`);
    assert.deepEqual(message.data, json);
    assert.doesNotMatch(JSON.stringify(message), /planted|ciphertext/);
  });

  it('goes on after Last-Event-ID without gap or repeat, while events are appended', async () => {
    const total = 60;
    const writing = (async () => {
      for (let n = 0; n < total; n++) await register();
    })();
    const seen: (string | undefined)[] = [];
    let last = String(head);
    while (seen.length < total) {
      await using reader = await open('', last);
      const ids = await reader.ids(Math.min(7, total - seen.length));
      seen.push(...ids);
      last = String(ids.at(-1));
    }
    await writing;
    assert.deepEqual(
      seen,
      Array.from({ length: total }, (_, index) => String(head + 1 + index)),
    );
  });

  it('begins after a position, and obeys the filters', async () => {
    const id = await register();
    await register();
    await using reader = await open(
      `?after=0&tenant=${id}&type=TenantRegistered&type=TenantPaused`,
    );
    assert.deepEqual(await reader.ids(1), [String(head + 1)]);
    await plane.change('PATCH', `/tenants/${id}`, { body: { port: 1 } });
    await plane.call('POST', `/tenants/${id}/pause`);
    assert.equal((await reader.next())?.data['type'], 'TenantPaused');
  });

  it('refuses what only a page can obey, and an id that is not in the log', async () => {
    for (const [query, lastEventId] of [
      ['?order=desc', undefined],
      ['?before=9', undefined],
      ['?until=2999-01-01T00:00:00Z', undefined],
      ['?type=Nothing', undefined],
      ['', 'x'],
      ['', '999999'],
    ] as const) {
      const answer = await plane.call('GET', `/events${query}`, {
        headers: {
          accept: 'text/event-stream',
          ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
        },
      });
      assertProblem(answer, 400, 'VALIDATION_FAILED');
    }
  });

  it('needs the key, and is no answer to HEAD', async () => {
    const headers = { accept: 'text/event-stream' };
    const answer = await plane.call('GET', '/events', { key: undefined, headers });
    assertProblem(answer, 401, 'UNAUTHORIZED');
    assert.equal((await plane.call('HEAD', '/events', { headers })).status, 405);
  });

  it('ends for a key that is revoked, and tells it so', async () => {
    const body = { name: 'reader', scope: 'viewer' };
    const { json } = await plane.call('POST', '/api-keys', { body });
    await using reader = await Reader.open(
      plane.running.apiUrl,
      '',
      undefined,
      String(json['key']),
    );
    await plane.change('DELETE', `/api-keys/${String(json['id'])}`);
    const message = await reader.next();
    assert.equal(message?.event, 'end');
    assert.equal(message.data['code'], 'UNAUTHORIZED');
    assert.equal(await reader.next(), undefined);
  });

  it('is a page for who does not ask for events, or refuses them', async () => {
    for (const accept of ['*/*', 'application/json', 'text/event-stream;q=0, */*']) {
      const answer = await plane.call('GET', '/events?limit=1', { headers: { accept } });
      assert.equal(answer.status, 200);
      assert.ok(Array.isArray(answer.json['events']), accept);
    }
  });

  it('is not counted as a long request', async () => {
    {
      await using reader = await open();
      await register();
      await reader.next();
    }
    const { text } = await plane.call('GET', '/metrics');
    assert.doesNotMatch(text, /duration_seconds_sum\{[^}]*route="\/events"[^}]*\} [1-9]/);
  });

  it('is refused above 20 with one API key, and above 100 in all, with both numbers', async () => {
    const scope = { scope: 'viewer' };
    const keys = [API_KEY];
    for (let n = 1; n <= 5; n++) {
      const made = await plane.call('POST', '/api-keys', { body: { name: `tail ${n}`, ...scope } });
      keys.push(String(made.json['key']));
    }
    const readers: Reader[] = [];
    const refusal = async (key: string) => {
      const headers = { accept: 'text/event-stream' };
      const refused = await plane.call('GET', '/events', { headers, key });
      assert.equal(refused.headers.get('retry-after'), '1');
      return String(assertProblem(refused, 503, 'TAILS_EXHAUSTED')['detail']);
    };
    const openAll = async (key: string) => {
      const before = readers.length;
      // Those of the tests before may not be gone yet.
      while (readers.at(-1)?.response.status !== 503) readers.push(await openAs(key));
      await readers.pop()?.[Symbol.asyncDispose]();
      return readers.length - before;
    };
    for (const key of keys.slice(0, 4)) {
      assert.ok((await openAll(key)) <= 20);
      assert.match(await refusal(key), /20 tails .* open with this API key; at most 20 may be/);
    }
    while (readers.length < 100) {
      const more = await openAs(keys[4] ?? '');
      if (more.response.status === 200) readers.push(more);
    }
    assert.match(await refusal(keys.at(-1) ?? ''), /100 tails .* are open; at most 100 may be/);
    await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
    await eventually('there is room again', async () => {
      await using reader = await open();
      return reader.response.status === 200;
    });
  });
});

describe('the end of the control plane', () => {
  it('ends each tail, which is told why', async () => {
    await using own = await TestControlPlane.start();
    await using reader = await Reader.open(own.running.apiUrl);
    const stopping = own.stop();
    const message = await reader.next();
    assert.equal(message?.event, 'end');
    assert.equal(message.data['code'], 'NOT_READY');
    assert.equal(await reader.next(), undefined);
    await stopping;
  });

  it('does not wait for a reader that reads nothing', async () => {
    await using own = await TestControlPlane.start();
    const socket = connect(own.running.apiPort, '127.0.0.1');
    const request = ['GET /events HTTP/1.1', 'Host: x', `Authorization: Bearer ${API_KEY}`];
    socket.write([...request, 'Accept: text/event-stream', '', ''].join('\r\n'));
    await new Promise((resolve) => socket.once('readable', resolve));
    const began = performance.now();
    await own.stop();
    assert.ok(performance.now() - began < 5_000);
    socket.destroy();
  });
});
