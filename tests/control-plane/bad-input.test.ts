/**
 * Every route, asked by every kind of key with everything wrong that a request can have: each is
 * refused in the one form of refusals or harmless, nothing answers 500, and the server goes on.
 */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { Route } from '@dbbouncer/control-plane/api/route-table.ts';
import { SCOPES } from '@dbbouncer/control-plane/domain/api-key/scopes.ts';
import fc from 'fast-check';
import { API_KEY, tenantBody, TestControlPlane } from './harness.ts';

interface Wrong {
  readonly path?: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** Who may not ask is refused before the rest is looked at: so many wrongs show that. */
const OF_THE_REFUSED = 3;

interface Heard {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const json = (body: string | Buffer): Wrong => ({ body, headers: JSON_TYPE });
const withHeader = (name: string, value: string): Wrong => ({
  headers: { ...JSON_TYPE, [name]: value },
  body: '{}',
});

/** In place of each parameter of a path. */
const SEGMENTS: readonly string[] = [
  '%zz',
  '%00',
  '%ff%fe',
  '%2e%2e%2fetc',
  'a%2Fb',
  '__proto__',
  'constructor',
  '%F0%9F%99%82',
  "'%20OR%201=1--",
  '-1',
  '9'.repeat(400),
  'x'.repeat(3_000),
];

const QUERIES: readonly string[] = [
  'nonsense=1',
  '%zz=%zz',
  '__proto__=1&constructor[prototype]=1',
  'limit=-1&cursor=%ff&at=never&from=1e309&to=NaN&position=-5',
  'limit=1&limit=2&cursor=a&cursor=b&at=1&at=2&dry_run=true&dry_run=false&force=1&force=',
  'dry_run=maybe&wait=never&timeout=-1&force=perhaps&tenant[]=x',
  `reason=${'r'.repeat(5_000)}`,
  'reason=%00%0d%0aX-Evil:1&actor=%0a&type=%00',
  'at=0000-00-00T99:99:99Z&since=2026-13-45&until=1&from=0&to=0',
  'cursor=eyJfX3Byb3RvX18iOnt9fQ&limit=1',
];

const BODIES: readonly Wrong[] = [
  ...['', '{', 'null', '[]', '"x"', '1', 'true', '{"a":1}}', '\u{FEFF}{}', '{"a":1,"a":2}'].map(
    json,
  ),
  json('{"__proto__":{"id":"x"},"constructor":{"prototype":{"id":"x"}}}'),
  json(`${'['.repeat(50_000)}${']'.repeat(50_000)}`),
  json(`${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`),
  json('{"id":1e400,"port":-0,"to":1e400,"max_connections":99999999999999999999}'),
  json('{"id":"\\u0000","host":"\\ud800","name":"\\udfff","reason":"\\u0000","to":"\\u0000"}'),
  json('{"to":1,"reason":"half of a \\ud83d character"}'),
  json('{"reason":"half of a \\ud83d character"}'),
  json('{"operations":[{"op":"kill","id":"acme"}],"reason":"half of a \\ud83d character"}'),
  json('{"name":"half of a \\ud83d character","scope":"viewer"}'),
  json('{"operations":[{"op":"__proto__"}],"to":{},"name":[],"scope":"root","id":{"$ne":1}}'),
  json(`{"operations":[${'{},'.repeat(300)}{}]}`),
  json(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])),
  json(`{"id":"${'x'.repeat(2 * 1024 * 1024)}"}`),
  { body: '<x/>', headers: { 'content-type': 'application/xml' } },
  { body: 'x', headers: { 'content-type': 'text/plain' } },
  { body: '--x--', headers: { 'content-type': 'multipart/form-data; boundary=x' } },
  { body: '{}', headers: { 'content-type': 'application/json; charset=utf-16' } },
  { body: '{}', headers: { 'content-type': ';;;' } },
  { body: 'x', headers: { ...JSON_TYPE, 'content-encoding': 'gzip' } },
  { body: '{}' },
];

const HEADERS: readonly Wrong[] = [
  withHeader('if-match', 'nonsense'),
  withHeader('if-match', '"1", W/"2", *, "'),
  withHeader('if-match', `"${'9'.repeat(400)}"`),
  withHeader('if-none-match', '*'),
  withHeader('idempotency-key', ''),
  withHeader('idempotency-key', 'k'.repeat(5_000)),
  withHeader('idempotency-key', '\u{FF}\u{80}'),
  withHeader('last-event-id', '-1'),
  withHeader('last-event-id', 'x'),
  withHeader('accept', 'nonsense;q=9'),
  withHeader('accept-encoding', 'br;q=x, *;q=-1'),
  withHeader('x-request-id', 'r'.repeat(5_000)),
  withHeader('x-forwarded-for', "1.1.1.1, '; --, ::zz"),
  withHeader('host', 'evil example:99999'),
  withHeader('range', 'bytes=9-1'),
];

let plane: TestControlPlane;
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
const keys = new Map<string, string | undefined>([['nobody', undefined]]);

before(async () => {
  plane = await TestControlPlane.start({
    DBBOUNCER_API_REQUESTS_PER_MINUTE: '1000000',
    DBBOUNCER_API_REQUESTS_PER_MINUTE_WITHOUT_KEY: '1000000',
  });
  await plane.call('POST', '/tenants', { body: tenantBody('acme') });
  for (const scope of SCOPES) {
    const { json: made } = await plane.call('POST', '/api-keys', { body: { name: scope, scope } });
    keys.set(scope, String(made['key']));
  }
});
after(async () => {
  agent.destroy();
  await plane[Symbol.asyncDispose]();
});

describe('every route, asked by nobody, a viewer, an operator and an admin', () => {
  const kinds: readonly (readonly [string, (route: Route) => readonly Wrong[]])[] = [
    ['a wrong parameter in its path', wrongPaths],
    ['a query that makes no sense', () => QUERIES.map((query) => ({ query }))],
    ['a body that is none, or wrong', bodies],
    ['headers that make no sense', () => HEADERS],
  ];
  for (const [name, wrongs] of kinds) {
    it(`with ${name} answers no 500, and refuses in one form`, async () => {
      const asked = await Promise.all(
        plane.running.routes.flatMap((route) =>
          [...keys].flatMap(([who, key]) =>
            wrongs(route)
              .slice(0, mayAsk(who, route) ? undefined : OF_THE_REFUSED)
              .map(async (wrong) => {
                const heard = await ask(route, key, wrong);
                isRefusedInForm(heard, `${route.method} ${route.pattern} by ${who}`, wrong);
              }),
          ),
        ),
      );
      assert.ok(asked.length >= 500, `${asked.length} requests`);
      await stillServes();
    });
  }

  it('of a method that it does not have names those it has', async () => {
    const patterns = new Set(plane.running.routes.map(({ pattern }) => pattern));
    for (const pattern of patterns) {
      for (const method of ['TRACE', 'PROPFIND', 'OPTIONS', 'DELETE', 'PUT']) {
        const known = plane.running.routes.some(
          (route) => route.method === method && route.pattern === pattern,
        );
        if (known || pattern.includes('*')) continue;
        const heard = await ask({ method, pattern, access: {} }, API_KEY, {});
        isRefusedInForm(heard, `${method} ${pattern}`, {});
        assert.ok([400, 404, 405].includes(heard.status), `${method} ${pattern}: ${heard.status}`);
      }
    }
  });
});

describe('a body of known fields with any values', () => {
  it('is taken or refused, by each route that takes one', async () => {
    const { json: description } = await plane.call('GET', '/openapi.json', { key: undefined });
    const targets = bodiesOf(description as unknown as Description);
    assert.ok(targets.length >= 6, `${targets.length} routes with bodies`);
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.string({ unit: 'binary', maxLength: 70 }),
      fc.constantFrom('', ' ', '${X}', 'file:/etc/passwd', '2026-01-01T00:00:00Z', '*', 'acme'),
      fc.integer(),
    );
    for (const { method, path, fields } of targets) {
      const body = fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 8 });
      await fc.assert(
        fc.asyncProperty(body, async (fieldsGiven) => {
          const text = JSON.stringify(fieldsGiven);
          const route = { method: method.toUpperCase(), pattern: path, access: {} } as Route;
          const heard = await ask(route, API_KEY, { ...json(text), query: 'dry_run=true' });
          isRefusedInForm(heard, `${method} ${path} ${text}`, {});
        }),
        { numRuns: 40, seed: 11, endOnFailure: true },
      );
    }
  });
});

describe('what is no HTTP', () => {
  it('is answered 400, 417 or 431, and its connection closed', async () => {
    const long = 'x'.repeat(100_000);
    for (const bytes of [
      '\0\0\0\x08\x04\xd2\x16\x2f',
      'GET\r\n\r\n',
      'GET /tenants HTTP/9.9\r\n\r\n',
      `GET /tenants HTTP/1.1\r\nhost: x\r\nx: ${long}\r\n\r\n`,
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
      'POST /tenants HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
      'POST /tenants HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'GET /tenants HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n',
      'GET /tenants HTTP/1.1\r\nhost: x\r\nexpect: nonsense\r\nconnection: close\r\n\r\n',
    ]) {
      assert.match(
        await raw(bytes),
        /^HTTP\/1\.1 4(00|17|31) /,
        JSON.stringify(bytes.slice(0, 60)),
      );
    }
    await stillServes();
  });
});

/** Whether what is wrong beyond the key is looked at; an open route asks nobody for a key. */
function mayAsk(who: string, { access: { access = 'admin' } }: Route): boolean {
  if (access === 'open') return who === 'nobody';
  const scopes: readonly string[] = SCOPES;
  return scopes.indexOf(who) >= scopes.indexOf(access);
}

function wrongPaths({ pattern }: Route): readonly Wrong[] {
  if (!pattern.includes('/:')) return [];
  return SEGMENTS.map((segment) => ({ path: pattern.replaceAll(/(?<=\/):\w+/g, segment) }));
}

function bodies({ method }: Route): readonly Wrong[] {
  return method === 'GET' || method === 'HEAD' ? [] : BODIES;
}

async function ask(route: Route, key: string | undefined, wrong: Wrong): Promise<Heard> {
  const path =
    wrong.path ?? route.pattern.replace(/[:{]id\}?/, 'acme').replaceAll(/\/:\w+|\*/g, '/1');
  const { body } = wrong;
  const headers = {
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
    ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
    ...wrong.headers,
  };
  const target = new URL(plane.running.apiUrl);
  return await new Promise<Heard>((resolve, reject) => {
    const { hostname: host, port } = target;
    const query = wrong.query === undefined ? '' : `?${wrong.query}`;
    const options = { agent, host, port, method: route.method, path: path + query, headers };
    const sent = request(options, (response) => {
      const { statusCode: status = 0 } = response;
      const type = response.headers['content-type'] ?? '';
      const done = (text: string): void => resolve({ status, type, text });
      if (type.startsWith('text/event-stream')) {
        response.on('error', () => undefined);
        sent.destroy();
        done('');
        return;
      }
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.on('end', () => done(text)).on('error', reject);
    });
    // A body beyond the limit is not read to its end.
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error);
      else resolve({ status: 413, type: 'application/problem+json', text: '{"code":"cut"}' });
    });
    sent.setTimeout(10_000, () => reject(new Error(`${route.method} ${path} hangs`)));
    sent.end(body);
  });
}

function isRefusedInForm(heard: Heard, what: string, wrong: Wrong): void {
  try {
    assert.ok(heard.status >= 200 && heard.status < 500, 'its status');
    if (heard.status < 400) return;
    assert.match(heard.type, /^application\/problem\+json/);
    if (heard.text === '' && what.startsWith('HEAD ')) return;
    assert.match((JSON.parse(heard.text) as { code: string }).code, /^[A-Za-z_]+$/);
  } catch (error) {
    const told = `${what} ${JSON.stringify(wrong).slice(0, 200)}: ${heard.status}`;
    throw new Error(`${told} ${heard.text.slice(0, 300)}`, { cause: error });
  }
}

async function stillServes(): Promise<void> {
  assert.equal((await plane.call('GET', '/tenants/acme')).json['id'], 'acme');
  assert.doesNotMatch(plane.log, /"level":"(error|fatal)"/);
}

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>;
}

interface Description {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<
        Record<
          string,
          {
            readonly requestBody?: {
              readonly content: Record<string, { readonly schema: Schema }>;
            };
          }
        >
      >
    >
  >;
}

function bodiesOf({ paths }: Description) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]) => {
      const schema = requestBody?.content['application/json']?.schema;
      const fields = Object.keys(schema?.properties ?? {});
      return fields.length === 0 ? [] : [{ method, path, fields }];
    }),
  );
}

async function raw(bytes: string): Promise<string> {
  const { hostname, port } = new URL(plane.running.apiUrl);
  return await new Promise<string>((resolve, reject) => {
    let heard = '';
    const socket = connect(Number(port), hostname, () =>
      socket.write(Buffer.from(bytes, 'latin1')),
    );
    socket.setEncoding('latin1').on('data', (piece: string) => (heard += piece));
    socket
      .on('close', () => resolve(heard))
      .on('error', (error) => {
        if (heard === '') reject(error);
      });
    socket.setTimeout(5_000, () => socket.destroy(new Error(`open, having said: ${heard}`)));
  });
}
