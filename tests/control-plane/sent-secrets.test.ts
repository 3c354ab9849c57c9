/**
 * Who may have the passwords of a tenant sent elsewhere: an operator's key names another server
 * only together with each password, an admin's as it likes.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';

type Fields = Readonly<Record<string, unknown>>;

const CA = '-----BEGIN CERTIFICATE-----\none\n-----END CERTIFICATE-----\n';
const PASSWORD = { password: 'hunter2-planted' };

let plane: TestControlPlane;
let key: string;
let id: string;
let count = 0;

before(async () => {
  plane = await TestControlPlane.start();
  const body = { name: 'an operator', scope: 'operator' };
  key = String((await plane.call('POST', '/api-keys', { body })).json['key']);
});
after(async () => {
  await plane[Symbol.asyncDispose]();
});
beforeEach(async () => {
  count += 1;
  id = `t${count}`;
  await register({});
});

async function register(fields: Fields): Promise<void> {
  await plane.call('DELETE', `/tenants/${id}?force=true`);
  const { status, text } = await plane.call('POST', '/tenants', { body: tenantBody(id, fields) });
  assert.equal(status, 201, text);
}

const patch = (body: Fields, as: 'operator' | 'admin' = 'operator') =>
  plane.change('PATCH', `/tenants/${id}`, { body, ...(as === 'operator' && { key }) });

async function refused(body: Fields, words: RegExp): Promise<void> {
  const before = await plane.call('GET', `/tenants/${id}`);
  const problem = assertProblem(await patch(body), 403, 'SCOPE_MISSING');
  assert.match(String(problem['detail']), words);
  assert.deepEqual((await plane.call('GET', `/tenants/${id}`)).json, before.json);
}

async function done(body: Fields): Promise<void> {
  const { status, text } = await patch(body);
  assert.equal(status, 200, text);
}

describe('an operator who names another server', () => {
  for (const body of [{ host: 'evil.example' }, { port: 6000 }] as const) {
    it(`by ${Object.keys(body).join()} must give the password in the same request`, async () => {
      await refused(body, /The server would be .+ instead of db\.example\.com:5432, .* password/);
      await done({ ...body, ...PASSWORD });
    });
  }

  it('is refused by PUT and in a batch as well, of which nothing is done', async () => {
    const { password: _, ...body } = tenantBody(id, { host: 'evil.example' });
    const put = await plane.change('PUT', `/tenants/${id}`, { body, key });
    assertProblem(put, 403, 'SCOPE_MISSING');
    const operations = [
      { op: 'pause', id },
      { op: 'update', id, if_match: '*', body: { host: 'evil.example' } },
    ];
    const batch = await plane.call('POST', '/tenants:batch', { body: { operations }, key });
    assertProblem(batch, 409, 'BATCH_REFUSED');
    assert.match(batch.text, /The server would be evil\.example:5432/);
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.deepEqual([json['host'], json['version']], ['db.example.com', 1]);
  });

  it('must give every password that the server would be sent', async () => {
    const [users, auth] = [
      [
        { name: 'a', password: 'one' },
        { name: 'b', password: 'b', server_user: 'c', server_password: 'two' },
      ],
      { user: 'asker', password: 'three' },
    ];
    await register({ users, auth_query: auth });
    const moved = { host: 'other.example', ...PASSWORD };
    const without = users.map(({ name }) => ({ name }));
    await refused(moved, /sent a users\[0\]\.password that is kept/);
    await refused(
      { ...moved, users: [users[0], { ...without[1], server_user: 'c', password: 'b' }] },
      /sent a users\[1\]\.server_password that is kept/,
    );
    await refused({ ...moved, users }, /sent a auth_query\.password that is kept/);
    await done({ ...moved, users, auth_query: auth });
  });

  it('gives no password by a reference, nor makes one of it afterwards', async () => {
    await register({ password: '${ACME_PASSWORD}' });
    const reference = { password: '${ACME_PASSWORD}' };
    await refused({ host: 'evil.example', ...reference }, /as itself and not as a reference/);
    await done({ max_connections: 9, ...reference });
    await done({ host: 'evil.example', password: 'his own' });
    await refused(reference, /password refers to what is on the proxies/);
    await refused({ password: 'file:/etc/shadow' }, /refers to what is on the proxies/);
  });

  it('moves nothing by what leaves the server as it is', async () => {
    await done({ username: 'other', dbname: 'other', max_connections: 7, host: 'db.example.com' });
  });
});

describe('server_tls that an operator changes', () => {
  const known = { mode: 'verify-full', ca: CA };
  const weaker: readonly (readonly [Fields | null, Fields | null])[] = [
    [known, { mode: 'require' }],
    [known, { ...known, ca: `${CA}${CA}` }],
    [known, { ...known, server_name: 'evil.example' }],
    [known, null],
    [{ mode: 'require' }, { mode: 'prefer' }],
    [null, { mode: 'require' }],
  ];
  for (const [was, is] of weaker) {
    it(`from ${words(was)} to ${words(is)} needs the password`, async () => {
      await register({ server_tls: was });
      await refused({ server_tls: is }, /known less surely by its server_tls/);
      await done({ server_tls: is, ...PASSWORD });
    });
  }

  const surer: readonly (readonly [Fields | null, Fields | null])[] = [
    [{ mode: 'require' }, known],
    [{ mode: 'disable' }, null],
    [null, { mode: 'verify-full' }],
    [known, known],
  ];
  for (const [was, is] of surer) {
    it(`from ${words(was)} to ${words(is)} needs no password`, async () => {
      await register({ server_tls: was });
      await done({ server_tls: is });
    });
  }
});

describe('server_cleartext that an operator changes', () => {
  const more: readonly (readonly [string | null, string | null])[] = [
    [null, 'anywhere'],
    [null, 'over_tls'],
    ['over_verified_tls', 'anywhere'],
    ['over_verified_tls', null],
  ];
  for (const [was, is] of more) {
    it(`from ${was} to ${is} needs the password`, async () => {
      await register({ server_cleartext: was });
      await refused({ server_cleartext: is }, /in more places by server_cleartext, .* password/);
      await done({ server_cleartext: is, ...PASSWORD });
    });
  }

  for (const [was, is] of [
    ['anywhere', 'over_tls'],
    ['anywhere', null],
    [null, 'over_verified_tls'],
  ] as const) {
    it(`from ${was} to ${is} needs no password`, async () => {
      await register({ server_cleartext: was });
      await done({ server_cleartext: is });
    });
  }
});

function words(tls: Fields | null): string {
  if (tls === null) return 'none';
  const { ca, ...rest } = tls;
  const authority = ca === undefined ? [] : [ca === CA ? 'a ca' : 'another ca'];
  return [...Object.values(rest), ...authority].join(' with ');
}

describe('an admin', () => {
  it('sends the password that is kept where he likes, and refers to any', async () => {
    const admin = await patch({ host: 'other.example' }, 'admin');
    assert.equal(admin.status, 200, admin.text);
    const reference = await patch({ password: '${ANY}' }, 'admin');
    assert.equal(reference.status, 200, reference.text);
  });
});
