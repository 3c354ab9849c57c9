/**
 * The config file: what it may hold, what variables become, and that every mistake is told with its
 * place.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfigFile, readConfigFile } from './config-file.ts';
import type { ConfigFile, ConfigFileReading } from './config-file.ts';
import { formatProblems, formatProblemsForPeople } from './config-problems.ts';

const ENV: Readonly<Record<string, string>> = { PORT: '6543', HOST: 'db.example', EMPTY: '' };

function read(text: string): ConfigFile {
  const reading = parseConfigFile(text, 'x.yaml', (name) => ENV[name]);
  if (reading.outcome === 'ok') return reading.config;
  return assert.fail(formatProblems('x.yaml', reading.problems).join('\n'));
}

function problems(text: string): readonly string[] {
  return problemsOf(parseConfigFile(text, 'x.yaml', (name) => ENV[name]));
}

function problemsOf(reading: ConfigFileReading, path = 'x.yaml'): readonly string[] {
  assert.ok(reading.outcome === 'refused');
  return formatProblems(path, reading.problems);
}

/** As a person sees it. */
function shown(text: string): string {
  const reading = parseConfigFile(text, 'x.yaml', (name) => ENV[name]);
  assert.ok(reading.outcome === 'refused');
  return formatProblemsForPeople('x.yaml', reading.problems).join('\n');
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

  it('tells a file that says nothing from one that says anything', () => {
    for (const text of ['', '\n# nothing\n', '---\n', '--- # nothing\n\n']) {
      assert.equal(read(text).says, 'nothing', text);
    }
    for (const text of ['tenants:\n', '{}', 'api_key:\n']) {
      assert.equal(read(text).says, 'something', text);
    }
  });

  it('takes lists and maps 100 deep, and refuses the one that is deeper, with its place', () => {
    const kinds: readonly ((depth: number) => string)[] = [
      (depth) => '['.repeat(depth),
      (depth) => `${'['.repeat(depth)}${']'.repeat(depth)}`,
      (depth) => `${'{a: '.repeat(depth)}${'}'.repeat(depth)}`,
      (depth) => `${'- '.repeat(depth)}a`,
      (depth) => Array.from({ length: depth }, (_, index) => `${' '.repeat(index)}a:\n`).join(''),
    ];
    for (const text of kinds) {
      for (const depth of [101, 20_000]) {
        if (depth > 101 && text(depth).length > 1_000_000) continue;
        const [told, ...more] = problems(text(depth));
        assert.match(told ?? '', /^x\.yaml:\d+:\d+: is nested more than 100 deep/);
        assert.deepEqual(more, []);
      }
      assert.doesNotMatch(problems(text(100)).join('\n'), /100 deep|stack/);
    }
    assert.match(problems(`a:\n${'  '.repeat(100)}\n  - [[${'['.repeat(99)}`)[0] ?? '', /:3:103: /);
    const sql = `tenants: { a: { ${TENANT}, password: p, init_sql: "${'['.repeat(500)}" } }`;
    assert.equal(read(sql).tenants.size, 1, 'signs in a text are no nesting');
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

  it('tells unset variables, wrong values and contradictions at once, by their places', () => {
    const text = `defaults: { max_connections: 5 }
tenants:
  a: { ${TENANT}, password: x, min_connections: 6 }
  b: { ${TENANT}, password: x, port: 0, hots: h }
  c: { ${TENANT.replace('host: h', 'host: "${NOPE}"')}, password: x }
  A: { ${TENANT}, password: x }
log_level: loud
`;
    assert.deepEqual(
      problems(text).map((line) => /^x\.yaml:(\d+):\d+: ([\w.]+)/.exec(line)?.slice(1)),
      [
        ['3', 'tenants.a'],
        ['4', 'tenants.b.port'],
        ['4', 'tenants.b.hots'],
        ['5', 'tenants.c.host'],
        ['6', 'tenants.A'],
        ['7', 'log_level'],
      ],
    );
  });

  it('reads 12,000 tenants in time that grows with their number, and not with its square', () => {
    const tenant = `{ ${TENANT}, password: x }`;
    const entries = Array.from({ length: 12_000 }, (_, index) => `  t${index}: ${tenant}`);
    const before = process.cpuUsage();
    assert.equal(read(`tenants:\n${entries.join('\n')}\n`).tenants.size, 12_000);
    const { user, system } = process.cpuUsage(before);
    // With every key compared to every other one, it took 7 s.
    assert.ok(user + system < 4_000_000, `${user + system} µs`);
  });

  it('tells the first 100 of many, and how many more there are', () => {
    const entries = Array.from({ length: 150 }, (_, index) => `  t${index}: { port: 0 }`);
    const found = problems(`tenants:\n${entries.join('\n')}\n`);
    assert.equal(found.length, 101);
    // Each lacks db_type, host, dbname, username and password, and its port is wrong.
    assert.match(found.at(-1) ?? '', /and 800 problems more$/);
  });

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

describe('formatProblemsForPeople', () => {
  it('shows the line with a mark under the place', () => {
    assert.equal(
      shown('listen:\n  postgres_port: 70000 # too high\n'),
      `x.yaml:2:18: listen.postgres_port must be a whole number between 0 and 65535; got 70000
  2 |   postgres_port: 70000 …
    |                  ^`,
    );
  });

  it('moves the mark along with what is left out before it', () => {
    const [, line = '', mark = ''] = shown(
      `tenants: { a: { ${TENANT}, password: "hunter2 hunter2", port: 0 } }`,
    ).split('\n');
    assert.match(line, /username: u, password: …, port: 0 \} \}$/);
    assert.equal(line[mark.indexOf('^')], '0');
  });

  it('cuts a long line around the place', () => {
    const sql = 'x'.repeat(300);
    const long = `tenants: { a: { ${TENANT}, init_sql: ${sql}, port: 0, password: y } }`;
    const [, line = '', mark = ''] = shown(long).split('\n');
    assert.ok(line.length < 130 && line[mark.indexOf('^')] === '0', line);
  });

  const secrets: readonly (readonly [string, string])[] = [
    ['a value of a secret field', `tenants: { a: { port: 0, password: pl4nted } }`],
    ['a password under a misspelled name', `tenants: { a: { pasword: pl4nted, port: 0 } }`],
    ['a comment', 'workers: none # pl4nted'],
    ['a secret that is a block', 'tenants:\n  a:\n    password: |x pl4nted\n      pl4nted\n'],
    ['a secret that is a map', 'tenants: { a: { password: { pl4nted: pl4nted } } }'],
    ['a password that YAML takes for an alias', 'tenants: { a: { password: *pl4nted } }'],
    ['a password that YAML takes for a tag', 'tenants: { a: { password: !pl4nted x, port: 0 } }'],
    ['a password with a colon', 'tenants:\n  a:\n    password: pl4: nted: pl4nted\n'],
    ['a password with an escape', 'tenants: { a: { password: "pl4nted\\pl4nted" } }'],
    ['a quote that is not closed', 'tenants:\n  a:\n    password: "pl4nted\n  b: {}\n'],
    ['a bracket that is not closed', 'tenants: [ { password: pl4nted'],
    ['an indentation that is wrong', 'tenants:\n  a:\n    password: x\n   pl4nted\n'],
    ['an URL with a password', 'nats: nats://u:pl4nted@ n'],
    ['a default of a variable', 'api_key: "${X:-pl4nted pl4nted}"'],
  ];
  for (const [what, text] of secrets) {
    it(`never shows ${what}`, () => {
      assert.doesNotMatch(shown(text), /pl4/);
    });
  }

  it('never shows a planted password, whatever is cut out of a file or put into it', () => {
    const file = `api_key: ${'pl4nted'.repeat(3)}
nats: nats://control:pl4nted@nats:4222
tenants:
  a: { ${TENANT}, password: pl4nted } # pl4nted
  b:
    <<: &x { db_type: postgres, host: h }
    password: "pl4nted"
    users:
      - { name: n, password: 'pl4nted', server_password: pl4nted }
    server_tls: { mode: verify-full, cert: file:/c, key: pl4nted }
    auth_query: { user: q, password: |-
        pl4nted }
`;
    const damage = fc.record({
      at: fc.nat({ max: file.length }),
      gone: fc.nat({ max: 12 }),
      put: fc.constantFrom('', '\n', ':', ' ', '"', "'", '{', ']', '\t', '- ', '&', '*', '#', '|'),
    });
    fc.assert(
      fc.property(damage, ({ at, gone, put }) => {
        const text = file.slice(0, at) + put + file.slice(at + gone);
        const reading = parseConfigFile(text, 'x.yaml', () => undefined);
        if (reading.outcome === 'ok') return;
        const told = formatProblemsForPeople('x.yaml', reading.problems).join('\n');
        assert.doesNotMatch(told, /pl4nted/, text);
      }),
      { numRuns: 300 },
    );
  });
});

describe('parseConfigFile on anything at all', () => {
  it('answers with a config or with problems, each with a place in the text', () => {
    const words = ['tenants: ', 'a: ', 'password: ', '&x ', '*x', '<<: ', '!!binary ', '--- ', 'x'];
    const signs = [
      '{',
      '}',
      '[',
      ']',
      '\n',
      '  ',
      '"',
      "'",
      '- ',
      '? ',
      '${',
      '${A}',
      ': ',
      '#',
      '|',
    ];
    const piece = fc.constantFrom(...words, ...signs, '1e3', 'null', '>-', '%YAML');
    const text = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 30 }).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(text, (written) => {
        const reading = parseConfigFile(written, 'x.yaml', () => undefined);
        if (reading.outcome === 'ok') return;
        const lines = written.split('\n');
        for (const { line, column, message } of reading.problems) {
          assert.ok(line >= 1 && line <= lines.length && column >= 1 && message !== '');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('readConfigFile', () => {
  it('says why a file cannot be read, and reads one that can', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dbb-config-'));
    try {
      const path = join(folder, 'c.yaml');
      assert.deepEqual(
        problemsOf(
          readConfigFile(path, () => ''),
          path,
        ),
        [`${path}:1:1: cannot be read: ENOENT`],
      );
      writeFileSync(path, 'workers: 3\n');
      const reading = readConfigFile(path, () => '');
      assert.ok(reading.outcome === 'ok' && reading.config.settings.get('workers') === 3);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses bytes that are not UTF-8 with their place: no password is made of them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dbb-config-'));
    try {
      const path = join(folder, 'c.yaml');
      const refusals = ['log_level: info\n\n# d\xfcrfen\n', '\xe4'].map((latin1) => {
        writeFileSync(path, Buffer.from(latin1, 'latin1'));
        return problemsOf(
          readConfigFile(path, () => ''),
          'c.yaml',
        );
      });
      const what = 'is not UTF-8 here; save the file in that encoding';
      assert.deepEqual(refusals, [[`c.yaml:3:4: ${what}`], [`c.yaml:1:1: ${what}`]]);
      writeFileSync(path, 'log_level: info # dürfen, �\n');
      assert.equal(readConfigFile(path, () => '').outcome, 'ok');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
