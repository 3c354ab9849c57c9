/**
 * What becomes of a pgbouncer.ini with its userlist.txt: tenants, users, settings; and that what is
 * wrong, or not the same afterwards, is told with its place.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { fileOfImport } from './file-of-import.ts';
import { Findings, formatFaults, formatNotes } from './findings.ts';
import { importPgbouncer } from './pgbouncer.ts';

type Files = Readonly<Record<string, string>>;

const USERS = '; who may\n"app" "secret"\n"report" "SCRAM-SHA-256$4096:c2FsdA==$c3Q=:c2s="\n';

function imported(ini: string, more: Files = {}) {
  const files: Files = { 'p.ini': ini, 'users.txt': USERS, ...more };
  const findings = new Findings();
  const read = (path: string) => {
    const text = files[path];
    if (text === undefined) throw new Error('there is no such file');
    return { path, text };
  };
  const result = importPgbouncer({ ini: 'p.ini', read }, findings);
  return { ...result, findings };
}

/** Of an import without a fault. */
function made(ini: string, more: Files = {}) {
  const result = imported(ini, more);
  assert.deepEqual(formatFaults(result.findings.faults), []);
  const tenant = (id: string) => result.tenants.get(id)?.tenant ?? {};
  return { ...result, tenant, notes: formatNotes(result.findings.notes) };
}

const faults = (ini: string, more: Files = {}) => formatFaults(imported(ini, more).findings.faults);

const WITH_USERS = '[pgbouncer]\nauth_file = users.txt\n';

describe('[databases]', () => {
  it('are tenants of the same names, under which clients find them', () => {
    const { tenant, tenants } = made(
      `[databases]\nacme = host=db1 port=5433 dbname='my ''db'\nb = host=/run/pg\n${WITH_USERS}`,
    );
    assert.deepEqual([...tenants.keys()], ['acme', 'b']);
    assert.deepEqual(tenant('acme'), {
      db_type: 'postgres',
      host: 'db1',
      port: 5433,
      dbname: "my 'db",
      username: 'app',
      password: 'secret',
      users: [{ name: 'report', password: 'SCRAM-SHA-256$4096:c2FsdA==$c3Q=:c2s=' }],
    });
    assert.deepEqual(tenant('b')['dbname'], 'b');
  });

  it('with a user of their own have all connections of that one', () => {
    const { tenant, notes } = made(
      `[databases]\na = host=h user=owner password=own\n${WITH_USERS}[users]\n` +
        'report = pool_mode=session max_user_connections=3 max_user_client_connections=4\n',
    );
    const server = { server_user: 'owner', server_password: 'own' };
    assert.equal(tenant('a')['username'], 'owner');
    assert.deepEqual(tenant('a')['users'], [
      { name: 'app', password: 'secret', ...server },
      {
        name: 'report',
        password: 'SCRAM-SHA-256$4096:c2FsdA==$c3Q=:c2s=',
        ...server,
        max_client_connections: 4,
      },
    ]);
    assert.match(notes.join('\n'), /p\.ini:2:1: a: user "owner" can log in as well/);
  });

  it('have limits that add up as theirs did, and only where they are not the defaults', () => {
    const { tenant, defaults } = made(
      '[databases]\n' +
        'a = host=h user=u password=p pool_size=5\n' +
        'b = host=h user=u password=p max_db_connections=7 min_pool_size=9\n' +
        'c = host=h user=u password=p\n' +
        `${WITH_USERS}reserve_pool_size = 3\nmin_pool_size = 1\n`,
    );
    const sizes = (id: string) => [
      tenant(id)['max_connections'],
      tenant(id)['reserve_connections'],
      tenant(id)['min_connections'],
    ];
    assert.deepEqual(
      [defaults['max_connections'], defaults['reserve_connections'], defaults['min_connections']],
      [23, 3, 1],
    );
    assert.deepEqual(sizes('a'), [8, undefined, undefined]);
    assert.deepEqual(sizes('b'), [7, undefined, 4]);
    assert.deepEqual(sizes('c'), [undefined, undefined, undefined]);
  });

  it('have 10,000 connections at most, which is told once where there were more', () => {
    const { tenants, defaults, notes } = made(
      '[databases]\n' +
        'a = host=h user=u password=p pool_size=15000 reserve_pool_size=1\n' +
        'b = host=h user=u password=p pool_size=10000 reserve_pool_size=0\n' +
        'c = host=h user=u password=p\n' +
        `${WITH_USERS}default_pool_size = 20000\n`,
    );
    const most = 'max_connections: 10000 is the most here';
    assert.deepEqual(
      notes.filter((note) => note.includes(most)),
      [
        `  p.ini:7:1: default_pool_size: ${most}; 20000 might be there`,
        `  p.ini:2:1: a: ${most}; 15001 might be there`,
      ],
    );
    assert.equal(defaults['max_connections'], 10_000);
    for (const { tenant } of tenants.values()) assert.equal(tenant['max_connections'], undefined);
  });

  it('ask for users by auth_query where they did', () => {
    const { tenant } = made(
      "[databases]\na = host=h auth_user=app auth_query='SELECT f($1)' auth_dbname=auth\n" +
        `b = host=h user=o password=p auth_user=app\n${WITH_USERS}[users]\ncarol = pool_size=2\n`,
    );
    assert.equal(tenant('a')['username'], 'app');
    assert.deepEqual(tenant('a')['auth_query'], { query: 'SELECT f($1)', database: 'auth' });
    assert.deepEqual((tenant('a')['users'] as readonly unknown[])[1], {
      name: 'carol',
      max_connections: 2,
    });
    assert.deepEqual(tenant('b')['auth_query'], { user: 'app', password: 'secret' });
  });

  it('set for a connection what they set', () => {
    const { tenant } = made(
      "[databases]\na = host=h timezone=UTC datestyle='ISO, DMY' connect_query='SELECT ''x'';'\n" +
        WITH_USERS,
    );
    const sql = "SET datestyle TO 'ISO, DMY'; SET timezone TO 'UTC'; SELECT 'x'";
    assert.equal(tenant('a')['init_sql'], sql);
  });

  it('tell what is not the same: other names, several hosts, no host, the fallback', () => {
    const { tenants, notes } = made(
      `[databases]\n'odd name' = host=h1,h2\nb = dbname=b\n* = host=h\n${WITH_USERS}`,
    );
    assert.deepEqual([...tenants.keys()], ['odd-name', 'b']);
    for (const words of [
      /p\.ini:2:1: "odd name" is no id of a tenant: it is odd-name/,
      /p\.ini:2:1: odd-name has several hosts: a tenant has one, h1; h2 are left out/,
      /p\.ini:3:1: b has no host: .* \/tmp$/m,
      /p\.ini:4:1: \* stands for every other database/,
    ]) {
      assert.match(notes.join('\n'), words);
    }
  });

  it('leave a password that is not known to a variable, and say so', () => {
    const { tenant, notes } = made(`[databases]\na = host=h user=owner\n${WITH_USERS}`);
    assert.equal(tenant('a')['password'], '${TENANT_A_OWNER_PASSWORD}');
    assert.match(
      notes.join('\n'),
      /a: the password of user "owner" is not known; set \$\{TENANT_A_/,
    );
  });
});

describe('[pgbouncer]', () => {
  it('writes down the defaults of PgBouncer where ours are others', () => {
    const { settings, defaults } = made('[pgbouncer]\n');
    assert.deepEqual(settings, {
      listen: { host: '127.0.0.1', postgres_port: 6432, max_client_connections: 100 },
    });
    assert.deepEqual(defaults, {
      pool_mode: 'session',
      min_connections: 0,
      max_connections: 20,
      reserve_connections: 0,
      max_lifetime: '1h',
      idle_timeout: '10m',
      server_connect_timeout: '15s',
      server_login_retry: '15s',
      acquire_timeout: '2m',
      client_auth: 'md5',
    });
  });

  it('takes over what has a counterpart, in its place and unit', () => {
    const { settings, defaults } = made(
      '[pgbouncer]\nlisten_addr = 10.0.0.1\nlisten_port = 5432\nclient_tls_sslmode = prefer\n' +
        'client_tls_cert_file = /c\nclient_tls_key_file = /k\ntcp_keepalive = 0\n' +
        'query_timeout = 1.5\nserver_idle_timeout = 0\nauth_type = plain\n' +
        'pool_mode = Transaction\n',
    );
    assert.deepEqual(settings, {
      listen: { host: '10.0.0.1', postgres_port: 5432, max_client_connections: 100 },
      tls_mode: 'allow',
      tls_cert: '/c',
      tls_key: '/k',
      tcp_keepalive_idle: '0s',
    });
    assert.equal(defaults['query_timeout'], '1s500ms');
    assert.equal(defaults['idle_timeout'], '0s');
    assert.equal(defaults['client_auth'], 'cleartext_without_tls');
    assert.equal(defaults['pool_mode'], 'transaction');
  });

  it('tells of every setting without a counterpart what to do, by its line', () => {
    const { notes } = made(
      '[pgbouncer]\nauth_type = trust\nauth_hba_file = /hba\nlogfile = /l\nserver_lifetime = 0\n' +
        'pool_mode = statement\nquery_wait_timeout = 0\nserver_check_query = select 1\n',
    );
    const about = (line: string) => / (?:p\.ini:(\d):1: )?(\w+): ./.exec(line)?.slice(1, 3);
    assert.deepEqual(notes.filter((line) => line.startsWith('  ')).map(about), [
      ['2', 'auth_type'],
      ['3', 'auth_hba_file'],
      ['5', 'server_lifetime'],
      ['6', 'pool_mode'],
      ['7', 'query_wait_timeout'],
      [undefined, 'listen_addr'],
      ['4', 'logfile'],
      ['8', 'server_check_query'],
    ]);
  });

  it('gives each tenant the certificate that the proxy shows to servers', () => {
    const { tenant, settings } = made(
      `[databases]\na = host=h\n${WITH_USERS}server_tls_sslmode = verify-full\n` +
        'server_tls_ca_file = /ca\nserver_tls_cert_file = /c\nserver_tls_key_file = /k\n',
    );
    assert.deepEqual(tenant('a')['server_tls'], {
      mode: 'verify-full',
      ca: 'file:/ca',
      cert: 'file:/c',
      key: 'file:/k',
    });
    assert.equal(settings['server_tls_mode'], 'verify-full');
  });
});

describe('what is wrong with the files', () => {
  it('is told all at once, each with file, line and column, and no secret', () => {
    assert.deepEqual(
      faults(
        'x = 1\n[databases]\n  a = host=h pl4nted\n' +
          "b = host=h password='pl4nted\nc = host=h port=x\n" +
          'd = host=h pool_sise=1\nnonsense ; pl4nted\npgbouncer = host=h\n' +
          '[elsewhere]\nk = v\n[pgbouncer]\ndefault_pool_siz = 1\n' +
          '%include none.ini\nauth_file = bad.txt\n',
        { 'bad.txt': '"u" "p"\n"u pl4nted\nu "p"\n' },
      ),
      [
        'p.ini:1:1: x stands before any [section]',
        'p.ini:7:1: must be "name = value", "[section]", "%include FILE" or a comment;' +
          ' a comment has a line of its own',
        'p.ini:13:1: none.ini cannot be read: there is no such file',
        'p.ini:12:1: default_pool_siz is no setting of PgBouncer; did you mean default_pool_size?',
        'bad.txt:2:1: must be "name" "password", each in double quotes',
        'bad.txt:3:1: must be "name" "password", each in double quotes',
        "p.ini:3:14: must be key=value; a value with a blank in it stands in '…'",
        'p.ini:4:12: password has no closing quote',
        'p.ini:5:12: port is no whole number',
        'p.ini:6:12: pool_sise is not known',
        'p.ini:8:1: pgbouncer is the name of the console, and no database',
        'p.ini:10:1: [elsewhere] is no section of PgBouncer',
      ],
    );
  });

  it('is told for databases of which nobody knows a user, and that are the same tenant', () => {
    assert.deepEqual(faults('[databases]\na = host=h\n'), [
      'p.ini:2:1: no user of it is known: name the userlist.txt with --userlist',
    ]);
    assert.deepEqual(faults(`[databases]\na = host=h\nA = host=h\n${WITH_USERS}`), [
      'p.ini:3:1: would be the same tenant as "a": ids ignore case',
    ]);
  });

  it('is told where the tenant comes from when it is a value that is not allowed here', () => {
    const result = imported(`[databases]\na = host='not a host'\n${WITH_USERS}`);
    fileOfImport(result, result.findings);
    assert.match(
      formatFaults(result.findings.faults).join('\n'),
      /^p\.ini:2:1: would make tenants\.a\.host must be a host name/,
    );
  });

  it('does not let files include each other for ever', () => {
    assert.match(
      faults('[pgbouncer]\n%include p.ini\n').join('\n'),
      /^p\.ini:2:1: files include each other more than 10 deep$/,
    );
  });
});

describe('%include', () => {
  it('goes on in the section where it stands', () => {
    const { tenants } = made(`[databases]\n%include more.ini\nb = host=h\n${WITH_USERS}`, {
      'more.ini': '# more\na = host=h\n',
    });
    assert.deepEqual([...tenants.keys()], ['a', 'b']);
  });
});

describe('any files at all', () => {
  const signs = ['\n', '=', "'", '"', ' ', ';', '*', '\\', '${X}', '__', 'a', 'b'];
  const words = ['[databases]', '[pgbouncer]', '[users]', '%include p.ini', 'host=h', 'user=u'];
  const more = ['password=p', 'pool_size=3', 'auth_file = users.txt', 'pool_mode = x'];
  const piece = fc.constantFrom(...signs, ...words, ...more, 'query_timeout = -1', 'port = 0');
  const text = fc.oneof(
    fc.array(piece, { maxLength: 40 }).map((all) => all.join('')),
    fc.string(),
  );

  it('make a config file that is right, or faults', () => {
    fc.assert(
      fc.property(text, text, (ini, users) => {
        const result = imported(`${ini}\n`, { 'users.txt': users });
        const { findings } = result;
        if (findings.faults.length > 0) return;
        const written = fileOfImport(result, findings);
        if (findings.faults.length > 0) return;
        assert.equal(parseConfigFile(written, 'x', () => 'v').outcome, 'ok');
      }),
      { numRuns: 1_000 },
    );
  });
});
