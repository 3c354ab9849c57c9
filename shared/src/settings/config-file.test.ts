/**
 * The config file: what it may hold, what variables become, and that every mistake is told with its
 * place.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkConfigFile, formatProblems, parseConfigFile, readConfigFile } from './config-file.ts';
import type { ConfigFile } from './config-file.ts';

const ENV: Readonly<Record<string, string>> = { PORT: '6543', HOST: 'db.example', EMPTY: '' };

function read(text: string): ConfigFile {
  const reading = parseConfigFile(text, 'x.yaml', (name) => ENV[name]);
  if (reading.outcome === 'ok') return reading.config;
  return assert.fail(formatProblems('x.yaml', reading.problems).join('\n'));
}

function problems(text: string): readonly string[] {
  const reading = parseConfigFile(text, 'x.yaml', (name) => ENV[name]);
  assert.equal(reading.outcome, 'refused');
  return reading.outcome === 'refused' ? formatProblems('x.yaml', reading.problems) : [];
}

const TENANT = 'db_type: postgres, host: h, dbname: d, username: u';

describe('parseConfigFile', () => {
  it('reads the file of the documentation', () => {
    const file = read(`
listen:
  postgres_port: 6432
  mysql_port: 3307
  api_port: 8080
defaults:
  min_connections: 2
  max_connections: 20
  idle_timeout: 5m
  max_lifetime: 30m
  acquire_timeout: 10s
  pool_mode: session         # "session" (default) or "transaction"
health_check: { interval: 15s, timeout: 3s, failure_threshold: 3, success_threshold: 2 }
pool: { buffer_initial_size: 4096, buffer_max_size: 65536 }
api_key: \${HOST}
tenants:
  tenant_1:
    db_type: postgres
    host: pg-host.example.com
    port: 5432
    dbname: tenant_1_db
    username: app_user
    password: \${TENANT_1_PG_PASSWORD}
    # pool_mode: transaction # Override default pool_mode per tenant
`);
    assert.equal(file.settings.get('postgresPort'), 6432);
    assert.equal(file.settings.get('healthCheckIntervalMs'), 15_000);
    assert.equal(file.settings.get('apiKey'), 'db.example');
    assert.equal(file.defaults.idleTimeoutMs, 300_000);
    const [[id, tenant] = ['', undefined]] = file.tenants;
    assert.equal(id, 'tenant_1');
    assert.equal(tenant?.password, '${TENANT_1_PG_PASSWORD}');
  });

  it('takes an empty file, empty sections and a file of comments', () => {
    for (const text of ['', '# nothing\n', 'tenants:\nlisten:\ndefaults:\napi_key:\n', '{}']) {
      const file = read(text);
      assert.equal(file.tenants.size, 0);
      assert.equal(file.settings.size, 0);
      assert.equal(file.defaults.maxConnections, 20);
    }
  });

  it('fills in variables, with defaults, as numbers where those belong, and $${ as itself', () => {
    const file = read(`
tenants:
  a: { ${TENANT}, password: "p$\${x}", port: "\${PORT}" }
  b:
    db_type: postgres
    host: "\${HOST}"
    dbname: "\${NO:-d}\${EMPTY:-e}"
    username: u
    password: x
`);
    const tenants = [...file.tenants.values()];
    assert.equal(tenants[0]?.password, 'p${x}');
    assert.equal(tenants[0]?.port, 6543);
    assert.equal(tenants[1]?.host, 'db.example');
    assert.equal(tenants[1]?.dbname, 'de');
  });

  it('keeps names and passwords of digits as they are written', () => {
    const file = read(
      `tenants: { 42: { db_type: mysql, host: h, dbname: 007, username: 1e3, password: 0123 } }`,
    );
    const [[id, tenant] = ['', undefined]] = file.tenants;
    assert.deepEqual(
      [id, tenant?.dbname, tenant?.username, tenant?.password],
      ['42', '007', '1e3', '0123'],
    );
  });

  it('merges what tenants share through an anchor', () => {
    const file = read(`
tenants:
  a: &base { ${TENANT}, password: x }
  b: { <<: *base, dbname: other }
`);
    assert.deepEqual(
      [...file.tenants.values()].map((tenant) => tenant.dbname),
      ['d', 'other'],
    );
  });
});

describe('parseConfigFile: how a mistake reads', () => {
  it('tells every one with line and column', () => {
    const text = `listen:
  api_port: 99999
  postgress_port: 1
tenants:
  acme:
    db_type: oracle
    host: h
    dbname: d
    username: u
    password: x
    idle_timeout: 300
`;
    assert.deepEqual(problems(text), [
      'x.yaml:2:13: listen.api_port must be a whole number between 0 and 65535; got 99999',
      'x.yaml:3:3: listen.postgress_port is not a known field; did you mean "postgres_port"?',
      'x.yaml:6:14: tenants.acme.db_type must be "postgres" or "mysql"; got "oracle"',
      'x.yaml:11:19: tenants.acme.idle_timeout must be a duration such as "500ms", "30s", "5m" or' +
        ' "1h30m"; for 300 write "300s" or "300ms"',
    ]);
  });

  const tenant = (more: string, id = 'a'): string => `  ${id}: { ${TENANT}, ${more} }`;
  const entry = 'host: h\n    db_type: mysql\n    dbname: d\n    username: u';
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['bad YAML', 'a: [1', /^x\.yaml:1:\d+: /],
    ['duplicate key', 'workers: 1\nworkers: 2', /^x\.yaml:2:1: .*unique/],
    ['tab', 'listen:\n\tapi_port: 1', /^x\.yaml:2:1: .*[Tt]ab/],
    ['list', '- a', /^x\.yaml:1:1: must be an object; got a list$/],
    ['unset variable', 'api_key: ${NOPE}', /^x\.yaml:1:10: api_key needs .* variable NOPE/],
    ['open variable', 'api_key: "${NOPE"', /^x\.yaml:1:10: api_key "\$\{" must be closed/],
    ['missing', `tenants:\n  a:\n    ${entry}`, /^x\.yaml:2:3: tenants\.a\.password is required$/],
    [
      'null',
      `tenants:\n${tenant('password: ')}`,
      /^x\.yaml:2:\d+: tenants\.a\.password must be text; got/,
    ],
    [
      'id',
      `tenants:\n${tenant('password: x', 'a__b')}`,
      /^x\.yaml:2:3: tenants\.a__b is not a tenant id/,
    ],
    [
      'twins',
      `tenants:\n${tenant('password: x')}\n${tenant('password: x', 'A')}`,
      /^x\.yaml:3:3: tenants\.A is the same tenant as "a"/,
    ],
    [
      'limits',
      `tenants:\n${tenant('password: x, min_connections: 30')}`,
      /^x\.yaml:2:3: tenants\.a min_connections \(30\) is above max_connections \(20\)$/,
    ],
    [
      'defaults',
      'defaults: { min_connections: 3, max_connections: 2 }',
      /^x\.yaml:1:1: defaults min_connections \(3\)/,
    ],
    ['switch', 'listen: { disclose_unknown_tenant: maybe }', /true or false; got "maybe"$/],
  ];
  for (const [name, text, expected] of cases) {
    it(name, () => {
      const found = problems(text);
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0] ?? '', expected);
    });
  }

  it('refuses aliases that would grow without bound', () => {
    const levels = Array.from({ length: 12 }, (_, i) =>
      i === 0
        ? 'a0: &a0 [x]'
        : `a${i}: &a${i} [${Array(9)
            .fill(`*a${i - 1}`)
            .join(', ')}]`,
    );
    assert.match(problems(levels.join('\n')).join(), /alias/i);
  });

  it('never repeats a password or the API key', () => {
    const text = `api_key: "hunter2 hunter2"\ntenants: { a: { ${TENANT}, password: [hunter2] } }`;
    assert.equal(problems(text).length, 2);
    assert.doesNotMatch(problems(text).join(), /hunter2/);
  });
});

describe('readConfigFile', () => {
  it('says why a file cannot be read, and reads one that can', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dbb-config-'));
    try {
      const path = join(folder, 'c.yaml');
      assert.deepEqual(
        checkConfigFile(path, () => ''),
        [`${path}:1:1: cannot be read: ENOENT`],
      );
      writeFileSync(path, 'workers: 3\n');
      const reading = readConfigFile(path, () => '');
      assert.ok(reading.outcome === 'ok' && reading.config.settings.get('workers') === 3);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
