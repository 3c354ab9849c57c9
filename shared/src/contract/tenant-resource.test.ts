/**
 * The outside shape of a tenant: what is accepted, how a mistake reads, and that conversion loses
 * nothing.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { z } from 'zod';
import { explainIssues } from './explain.ts';
import type { TenantConfig } from './routing-config.ts';
import { tenantConfigSchema } from './routing-config.ts';
import type { Secret } from './secret.ts';
import {
  newTenantConfig,
  replaceTenantConfig,
  toTenantChanges,
  toTenantFields,
} from './tenant-conversion.ts';
import { tenantCreateSchema, tenantPatchSchema, tenantReplaceSchema } from './tenant-resource.ts';

const ACME = {
  id: 'acme',
  db_type: 'postgres',
  host: 'db.example.com',
  dbname: 'acme_db',
  username: 'app',
  password: 'hunter2',
} as const;

const makeSecret = (written: string, current?: Secret): Secret =>
  written === 'same' && current !== undefined ? current : { kind: 'env', name: written };

function problems(schema: z.ZodType, input: unknown): readonly string[] {
  const result = schema.safeParse(input);
  assert.equal(result.success, false, 'expected a refusal');
  return explainIssues(result.error, schema, input).map(
    ({ path, message }) => `${path} ${message}`,
  );
}

function acme(extra: Readonly<Record<string, unknown>> = {}): TenantConfig {
  const input = tenantCreateSchema.parse({ ...ACME, ...extra });
  return newTenantConfig(ACME.id as TenantConfig['id'], input, makeSecret);
}

describe('tenantCreateSchema: how a mistake reads', () => {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
    ['missing host', { host: undefined }, /^host is required$/],
    ['bad type', { db_type: 'oracle' }, /^db_type must be "postgres" or "mysql"; got "oracle"$/],
    ['no type', { db_type: undefined }, /^db_type is required: "postgres" or "mysql"$/],
    ['port text', { port: '5432' }, /^port must be a (whole )?number; got "5432"$/],
    ['port 0', { port: 0 }, /^port must be at least 1; got 0$/],
    ['port 65536', { port: 65_536 }, /^port must be at most 65535; got 65536$/],
    ['port 1.5', { port: 1.5 }, /^port must be a whole number; got 1.5$/],
    [
      'url host',
      { host: 'postgres://db:5432' },
      /^host must be a host name or an IP address alone/,
    ],
    [
      'rule',
      { access: [{ allow: 'all', user: ['a'] }] },
      /^access\[0\]\.user is not a known field; did you mean "users"\?$/,
    ],
    [
      'no action',
      { access: [{ users: ['a'] }] },
      /^access\[0\] must have either "allow" or "deny"$/,
    ],
    [
      'two actions',
      { access: [{ allow: 'all', deny: 'all' }] },
      /^access\[0\] must have either "allow" or "deny"$/,
    ],
    [
      'block',
      { access: [{ allow: '10.0.0.0/33' }] },
      /^access\[0\]\.allow must be "all", "unix", an address or a block such as 10\.0\.0\.0\/8/,
    ],
    [
      'deny with TLS',
      { access: [{ deny: 'all', tls: 'required' }] },
      /^access\[0\] must not have both "deny" and "tls"/,
    ],
    [
      '101 rules',
      { access: Array.from({ length: 101 }, () => ({ deny: 'all' })) },
      /^access must have at most 100 entries/,
    ],
    ['relative path', { host: 'run/postgresql' }, /^host must be a host name or an IP address/],
    [
      '93 bytes of folder',
      { host: `/${'x'.repeat(92)}` },
      /^host must have at most 92 bytes as the folder of a socket file/,
    ],
    [
      'TLS mode',
      { server_tls: { mode: 'on' } },
      /^server_tls\.mode must be "disable" or .* or "verify-full"; got "on"$/,
    ],
    [
      'authority that nothing asks',
      { server_tls: { mode: 'require', ca: 'file:/ca.pem' } },
      /^server_tls\.ca needs mode verify-ca or verify-full: the others verify nothing$/,
    ],
    [
      'no certificates',
      { server_tls: { mode: 'verify-ca', ca: '/etc/ca.pem' } },
      /^server_tls\.ca must be certificates as PEM, or file:\/path of a file on the proxy$/,
    ],
    [
      'key without certificate',
      { server_tls: { mode: 'require', key: 'k' } },
      /^server_tls\.key needs cert$/,
    ],
    [
      'own variable',
      { server_tls: { mode: 'require', cert: 'file:/c.pem', key: '${DBBOUNCER_MASTER_KEY}' } },
      /^server_tls\.key must not refer to a DBBOUNCER_ variable/,
    ],
    [
      'server name',
      { server_tls: { mode: 'verify-full', server_name: 'a b' } },
      /^server_tls\.server_name must be a host name/,
    ],
    ['host list', { host: ['a'] }, /^host must be text; got a list$/],
    ['id', { id: 'a__b' }, /^id must be 1 to 63 letters/],
    [
      'number as duration',
      { idle_timeout: 300 },
      /^idle_timeout .*for 300 write "300s" or "300ms"$/,
    ],
    ['no duration', { idle_timeout: '5 min' }, /^idle_timeout must be a duration .*got "5 min"$/],
    [
      'long wait',
      { acquire_timeout: '2h' },
      /^acquire_timeout must be between 1ms and 1h; got "2h"$/,
    ],
    [
      'no wait',
      { acquire_timeout: '0s' },
      /^acquire_timeout must be between 1ms and 1h; got "0s"$/,
    ],
    ['NUL', { username: 'a\0b' }, /^username must not contain control characters$/],
    [
      'own key',
      { password: '${DBBOUNCER_MASTER_KEY}' },
      /^password must not refer to a DBBOUNCER_/,
    ],
    ['slip', { max_conections: 5 }, /^max_conections is not a known field; did you mean "max_conn/],
    [
      'camel',
      { poolMode: 'session' },
      /^poolMode is not a known field; did you mean "pool_mode"\?$/,
    ],
    [
      'stranger',
      { colour: 1 },
      /^colour is not a known field; known are id, db_type, host, dbname/,
    ],
    ['database', { databases: ['ok', ''] }, /^databases\[1\] must not be empty; got ""$/],
    [
      'statement mode',
      { pool_mode: 'statement' },
      /^pool_mode cannot be "statement": .* choose "transaction", .* or "session"$/,
    ],
    ['null host', { host: null }, /^host must be text; got null$/],
  ];
  for (const [name, change, text] of cases) {
    it(name, () => {
      const found = problems(tenantCreateSchema, { ...ACME, ...change });
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0] ?? '', text);
    });
  }

  it('tells all mistakes at once', () => {
    const found = problems(tenantCreateSchema, { ...ACME, port: 0, pool_mode: 'x', extra: 1 });
    assert.equal(found.length, 3);
  });

  it('never shows a password, not even one of the wrong type', () => {
    for (const password of [4711, ['4711'], '4711\0', '4711'.repeat(1000)]) {
      assert.doesNotMatch(problems(tenantCreateSchema, { ...ACME, password }).join(), /4711/);
    }
  });

  it('takes host names and addresses', () => {
    for (const host of [
      'localhost',
      'a-b.c_d.example',
      '10.0.0.1',
      '::1',
      'fe80::1%eth0',
      'x.',
      '/tmp',
    ]) {
      assert.equal(tenantCreateSchema.safeParse({ ...ACME, host }).success, true, host);
    }
    for (const host of ['a b', 'db:5432', '[::1]', './tmp', '-x', 'user@db', '']) {
      assert.equal(tenantCreateSchema.safeParse({ ...ACME, host }).success, false, host);
    }
  });
});

describe('conversion', () => {
  it('gives access rules back as they were written', () => {
    const access = [
      { deny: '10.0.0.5' },
      { allow: '10.0.0.0/8', users: ['app'], databases: ['acme_db'], tls: 'required' },
      { allow: 'unix' },
    ];
    const fields = toTenantFields(acme({ access }), () => 'sealed');
    assert.deepEqual(fields.access, access);
    assert.equal(toTenantFields(acme(), () => 'sealed').access, null);
  });

  it('fills in the port of the protocol and makes a valid config', () => {
    assert.equal(acme().port, 5432);
    assert.equal(acme({ db_type: 'mysql' }).port, 3306);
    assert.deepEqual(tenantConfigSchema.parse(acme({ idle_timeout: '1h30m' })).pool, {
      idleTimeoutMs: 5_400_000,
    });
  });

  it('answers with null where the default holds, and says where the password is, not what', () => {
    const fields = toTenantFields(acme({ acquire_timeout: '1500ms' }), (secret) => secret.kind);
    assert.equal(fields.acquire_timeout, '1s500ms');
    assert.equal(fields.idle_timeout, null);
    assert.equal(fields.password_source, 'env');
    assert.ok(!('password' in fields));
  });

  it('takes an answer back as PUT without changing anything', () => {
    const config = acme({ max_connections: 5, idle_timeout: '90s', databases: ['b'], port: 6000 });
    const answer = {
      ...toTenantFields(config, (secret) => secret.kind),
      version: 3,
      origin: 'api',
    };
    const replaced = replaceTenantConfig(config, tenantReplaceSchema.parse(answer), makeSecret);
    assert.deepEqual(replaced, { ...config, password: undefined });
  });

  it('PUT sends what is not given back to its default, and leaves the password out', () => {
    const config = acme({ max_connections: 5, port: 6000, databases: ['b'] });
    const { id: _, password: __, ...rest } = ACME;
    const replaced = replaceTenantConfig(config, tenantReplaceSchema.parse(rest), makeSecret);
    assert.deepEqual(replaced, { ...acme(), password: undefined });
  });

  it('PATCH names what is given alone, and null for the default', () => {
    const config = acme({ max_connections: 5, db_type: 'mysql', port: 6000 });
    const patch = { max_connections: null, port: null, host: 'new', idle_timeout: '1m' };
    const changes = toTenantChanges(config, tenantPatchSchema.parse(patch), makeSecret);
    assert.deepEqual(JSON.parse(JSON.stringify(changes)), {
      host: 'new',
      port: 3306,
      pool: { maxConnections: null, idleTimeoutMs: 60_000 },
    });
  });

  it('PATCH refuses null where there is no default', () => {
    for (const field of ['host', 'dbname', 'username', 'password', 'db_type']) {
      assert.equal(tenantPatchSchema.safeParse({ [field]: null }).success, false, field);
    }
  });

  it('offers the current secret, so that the same password stays the same bytes', () => {
    const config = acme();
    const changes = toTenantChanges(config, { password: 'same' }, makeSecret);
    assert.equal(changes.password, config.password);
  });
});
