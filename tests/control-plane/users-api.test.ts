/**
 * Users and auth_query of a tenant through the API and the config file: what is kept, what is told,
 * what contradicts itself, and that every password in them is as secret as the tenant's.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { API_KEY, assertProblem, tenantBody, TestControlPlane } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let made = 0;
async function register(extra: Readonly<Record<string, unknown>>): Promise<string> {
  const id = `t${(made += 1)}`;
  const answer = await plane.call('POST', '/tenants', { body: tenantBody(id, extra) });
  assert.equal(answer.status, 201, answer.text);
  return id;
}

async function patch(id: string, body: unknown): Promise<Readonly<Record<string, unknown>>> {
  const { status, json, text } = await plane.change('PATCH', `/tenants/${id}`, { body });
  assert.equal(status, 200, text);
  return json;
}

const USER = {
  name: 'report',
  password_source: 'sealed',
  server_user: 'report',
  server_password_source: null,
  pool_mode: null,
  max_connections: null,
  max_client_connections: null,
  client_auth: null,
};

describe('users', () => {
  it('are told with their limits, and with where their passwords are', async () => {
    const id = await register({
      users: [
        { name: 'report', password: 'one' },
        {
          name: 'batch',
          password: '${BATCH_PW}',
          server_user: 'app',
          server_password: 'file:/run/secrets/app',
          pool_mode: 'session',
          max_connections: 2,
          max_client_connections: 50,
          client_auth: 'md5',
        },
      ],
    });
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.deepEqual(json['users'], [
      USER,
      {
        name: 'batch',
        password_source: '${BATCH_PW}',
        server_user: 'app',
        server_password_source: 'file:/run/secrets/app',
        pool_mode: 'session',
        max_connections: 2,
        max_client_connections: 50,
        client_auth: 'md5',
      },
    ]);
  });

  it('keep their passwords when an answer is sent back, which makes no event', async () => {
    const id = await register({ users: [{ name: 'report', password: 'one' }] });
    const { json } = await plane.call('GET', `/tenants/${id}`);
    const again = await plane.change('PUT', `/tenants/${id}`, { body: json });
    assert.deepEqual(again.json, json);
    const sameWords = await patch(id, { users: [{ name: 'report', password: 'one' }] });
    assert.equal(sameWords['version'], 1);
    const changed = await patch(id, { users: [{ name: 'report', max_connections: 3 }] });
    assert.equal(changed['version'], 2);
    assert.deepEqual(changed['users'], [{ ...USER, max_connections: 3 }]);
    assert.equal((await patch(id, { users: null }))['users'], null);
  });

  const refused: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
    ['two of one name', { users: [pw('a'), pw('a')] }, /there are two users "a"/],
    ["the tenant's own", { users: [pw('app')] }, /"app" is the tenant's own user already/],
    ['nothing to prove', { users: [{ name: 'a' }] }, /"a" has no password, and .* no auth_query/],
    ['an empty password', { users: [{ name: 'a', password: '' }] }, /users\[0\]\.password/],
    [
      'trust',
      { users: [{ ...pw('a'), client_auth: 'trust' }] },
      /users\[0\]\.client_auth.*nobody is let in/,
    ],
    ['trust for all', { client_auth: 'trust' }, /cannot be "trust": nobody is let in without/],
    [
      'a key of ours',
      { users: [{ name: 'a', password: '${DBBOUNCER_MASTER_KEY}' }] },
      /DBBOUNCER_/,
    ],
    ['a query of nothing', { auth_query: { query: ' ' } }, /auth_query\.query/],
    ['a user alone', { auth_query: { user: 'asker' } }, /both a user and a password, or neither/],
    ['a password alone', { auth_query: { password: 'x' } }, /both a user and a password/],
    ['ttl of a week', { auth_query: { cache_ttl: '7d' } }, /auth_query\.cache_ttl/],
  ];
  for (const [title, extra, expected] of refused) {
    it(`are refused with 400 for ${title}, in POST and in PATCH`, async () => {
      const post = await plane.call('POST', '/tenants', { body: tenantBody('odd', extra) });
      assert.match(JSON.stringify(assertProblem(post, 400, 'VALIDATION_FAILED')), quoted(expected));
      const id = await register({});
      const patched = await plane.change('PATCH', `/tenants/${id}`, { body: extra });
      assert.match(
        JSON.stringify(assertProblem(patched, 400, 'VALIDATION_FAILED')),
        quoted(expected),
      );
    });
  }

  it('are refused when the tenant takes the name of one, or drops what looked one up', async () => {
    const id = await register({ users: [pw('report'), { name: 'ann' }], auth_query: {} });
    for (const body of [{ username: 'report' }, { auth_query: null }]) {
      const answer = await plane.change('PATCH', `/tenants/${id}`, { body });
      assertProblem(answer, 400, 'VALIDATION_FAILED');
    }
  });

  it('are 200 at most', async () => {
    const users = Array.from({ length: 201 }, (_, index) => pw(`user${index}`));
    const body = tenantBody('many', { users });
    const problem = await plane.call('POST', '/tenants', { body });
    assert.match(JSON.stringify(assertProblem(problem, 400, 'VALIDATION_FAILED')), /200/);
    await register({ users: users.slice(1) });
  });
});

function pw(name: string) {
  return { name, password: 'secret' };
}

/** As it stands within JSON. */
function quoted({ source }: RegExp): RegExp {
  return new RegExp(source.replaceAll('"', '\\\\"'));
}

describe('auth_query', () => {
  it('is told with its defaults, and keeps its password as long as the user stays', async () => {
    const id = await register({ auth_query: { user: 'asker', password: 'x' } });
    const { json } = await plane.call('GET', `/tenants/${id}`);
    const told = {
      query: null,
      user: 'asker',
      password_source: 'sealed',
      database: null,
      cache_ttl: '10s',
      negative_ttl: '5s',
    };
    assert.deepEqual(json['auth_query'], told);
    const longer = await patch(id, { auth_query: { user: 'asker', cache_ttl: '5m' } });
    assert.deepEqual(longer['auth_query'], { ...told, cache_ttl: '5m' });
    const answer = await plane.change('PATCH', `/tenants/${id}`, {
      body: { auth_query: { user: 'other' } },
    });
    assertProblem(answer, 400, 'VALIDATION_FAILED');
    assert.equal((await patch(id, { auth_query: null }))['auth_query'], null);
  });
});

describe('auth_query of a MySQL tenant', () => {
  it('is refused: no query of it could answer', async () => {
    const body = tenantBody('mysql', { db_type: 'mysql', auth_query: {} });
    const problem = assertProblem(
      await plane.call('POST', '/tenants', { body }),
      400,
      'VALIDATION_FAILED',
    );
    assert.match(String(problem['detail']), /auth_query is for tenants of db_type postgres alone/);
  });
});

describe('passwords of users and of auth_query', () => {
  it('are in no answer, no log line and no file of the data folder', async () => {
    await using other = await TestControlPlane.start();
    const secrets = ['client-s3cret', 'server-s3cret', 'asker-s3cret'] as const;
    const users = [{ name: 'u', password: secrets[0], server_password: secrets[1] }];
    const auth_query = { user: 'asker', password: secrets[2] };
    const body = tenantBody('a', { users, auth_query });
    const texts = [await other.call('POST', '/tenants', { body })];
    assert.equal(texts[0]?.status, 201);
    for (const [field, value] of [
      ['users', [{ name: 'u', password: [secrets[0]], server_password: { x: secrets[1] } }]],
      ['users', [{ name: 'u', passwort: secrets[0], server_passwords: secrets[1] }]],
      ['auth_query', { user: 'asker', password: { x: secrets[2] } }],
      ['auth_query', { ...auth_query, user: 5 }],
    ] as const) {
      texts.push(await other.change('PATCH', '/tenants/a', { body: { [field]: value } }));
      assert.equal(texts.at(-1)?.status, 400);
    }
    texts.push(await other.call('GET', '/tenants/a'));
    await other.stop();
    const files = readdirSync(other.dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    assert.ok(files.some((text) => text.includes('TenantRegistered')));
    for (const text of [...texts.map((answer) => answer.text), other.log, ...files]) {
      for (const secret of secrets) assert.ok(!text.includes(secret), text.slice(0, 500));
    }
  });
});

const FILE = `
tenants:
  acme:
    db_type: postgres
    host: db.test
    dbname: shop
    username: app
    password: file:/run/secrets/acme
    client_auth: md5
    users:
      - name: 1234
        password: \${NUMBERS_PW}
        max_connections: 2
      - name: mapped
        password: plain words
        server_user: app
        server_password: file:/run/secrets/acme
      - name: ann
    auth_query:
      user: asker
      password: \${ASKER_PW}
      query: SELECT name, verifier FROM auth.lookup($1)
      cache_ttl: 30s
`;

describe('users in the config file', () => {
  it('are read with their references as they stand, and are the same after a restart', async () => {
    await using other = new TestControlPlane({ DBBOUNCER_API_KEY: API_KEY });
    writeFileSync(join(other.dir, 'dbbouncer.yaml'), FILE);
    await other.start();
    const read = async () => (await other.call('GET', '/tenants/acme')).json;
    const first = await read();
    const users = first['users'] as readonly Readonly<Record<string, unknown>>[];
    assert.deepEqual(
      users.map((user) => [user['name'], user['password_source'], user['server_password_source']]),
      [
        ['1234', '${NUMBERS_PW}', null],
        ['mapped', 'sealed', 'file:/run/secrets/acme'],
        ['ann', null, null],
      ],
    );
    assert.deepEqual(first['auth_query'], {
      query: 'SELECT name, verifier FROM auth.lookup($1)',
      user: 'asker',
      password_source: '${ASKER_PW}',
      database: null,
      cache_ttl: '30s',
      negative_ttl: '5s',
    });
    await other.stop();
    await other.start();
    assert.deepEqual(await read(), first, 'the same version: no event was made');
  });

  it('that contradict themselves are told with the tenant they stand in', async () => {
    await using other = new TestControlPlane({ DBBOUNCER_API_KEY: API_KEY });
    writeFileSync(join(other.dir, 'dbbouncer.yaml'), FILE.replace('name: ann', 'name: app'));
    await assert.rejects(other.start(), /tenants\.acme.*user "app" is the tenant's own user/s);
  });
});
