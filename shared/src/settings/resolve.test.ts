/**
 * Settings: who wins over whom, what is refused, and that the list of settings agrees with itself.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { resolveSettings } from './resolve.ts';
import type { Flags } from './resolve.ts';
import { settingsFlags } from './setting-list.ts';
import type { Settings } from './setting-list.ts';

const folder = mkdtempSync(join(tmpdir(), 'dbb-settings-'));
after(() => rmSync(folder, { recursive: true }));

function resolved(env: Record<string, string> = {}, flags: Flags = {}, cwd = folder): Settings {
  return resolveSettings({ env, flags, cwd }).settings;
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('resolveSettings', () => {
  it('gives the documented defaults when nothing is said, with absolute paths', () => {
    const settings = resolved();
    assert.deepEqual(
      [settings.postgresPort, settings.mysqlPort, settings.apiPort, settings.metricsPort],
      [6432, 3307, 8080, 9090],
    );
    assert.equal(settings.dataDir, join(folder, 'data'));
    assert.equal(settings.configFile, undefined);
    assert.equal(settings.apiKey, undefined);
    assert.ok(Object.isFrozen(settings));
  });

  it('lets flags win over the environment, that over the file, and that over defaults', () => {
    const config = file('order.yaml', 'listen: { api_port: 1, mysql_port: 1, metrics_port: 1 }');
    const env = { DBBOUNCER_API_PORT: '2', DBBOUNCER_MYSQL_PORT: '2' };
    const settings = resolved(env, { config, apiPort: '3' });
    assert.deepEqual(
      [settings.apiPort, settings.mysqlPort, settings.metricsPort, settings.postgresPort],
      [3, 2, 1, 6432],
    );
    assert.equal(settings.configFile, config);
  });

  it('reads dbbouncer.yaml of the working folder when none is named', () => {
    const cwd = mkdtempSync(join(folder, 'cwd-'));
    writeFileSync(join(cwd, 'dbbouncer.yaml'), 'workers: 4');
    assert.equal(resolved({}, {}, cwd).workers, 4);
    const named = file('named.yaml', 'workers: 5');
    assert.equal(resolved({ DBBOUNCER_CONFIG: named }, {}, cwd).workers, 5);
  });

  it('treats an empty variable as not set', () => {
    assert.equal(resolved({ DBBOUNCER_API_KEY: '', DBBOUNCER_WORKERS: ' ' }).workers, 1);
  });

  it('ignores the links that Kubernetes puts where ports belong', () => {
    assert.equal(resolved({ DBBOUNCER_API_PORT: 'tcp://10.0.0.7:8080' }).apiPort, 8080);
  });

  it('reads switches, durations and choices from the environment', () => {
    const settings = resolved({
      DBBOUNCER_DISCLOSE_UNKNOWN_TENANT: 'true',
      DBBOUNCER_CLIENT_LOGIN_TIMEOUT: '1m30s',
      DBBOUNCER_DURABILITY: 'normal',
    });
    assert.equal(settings.unknownTenant, 'disclosed');
    assert.equal(settings.clientLoginTimeoutMs, 90_000);
    assert.equal(settings.durability, 'normal');
  });

  it('tells the problems of all sources at once, and no secret', () => {
    const config = file('bad.yaml', 'workers: none\nlog_level: loud\n');
    const env = { DBBOUNCER_API_KEY: 'has blanks', DBBOUNCER_TLS_CERT: 'cert.pem' };
    assert.throws(
      () => resolved(env, { config, apiPort: 'http' }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'SETTINGS_INVALID');
        const lines = error.message.split('\n');
        const excerpts = lines.filter((line) => line.includes(' | '));
        const told = lines.filter((line) => !line.includes(' | '));
        assert.deepEqual([told.length, excerpts.length], [5, 4], error.message);
        assert.match(told[0] ?? '', /bad\.yaml:1:10: workers must be a whole number between 1 and/);
        assert.match(told[1] ?? '', /bad\.yaml:2:12: log_level must be one of trace, /);
        assert.match(told[2] ?? '', /^--api-port must be a whole number .*; got "http"$/);
        assert.match(told[3] ?? '', /^DBBOUNCER_API_KEY must be up to 512 printable/);
        assert.match(told[4] ?? '', /^tls_cert and tls_key must be given together$/);
        assert.doesNotMatch(error.message, /has blanks/);
        return true;
      },
    );
  });

  it('refuses a tls_mode that lacks what it needs', () => {
    const pair = { DBBOUNCER_TLS_CERT: 'a.crt', DBBOUNCER_TLS_KEY: 'a.key' };
    const refused = (env: Record<string, string>) => {
      let text = '';
      assert.throws(
        () => resolved(env),
        (error: Error) => (text = error.message) !== '',
      );
      return text;
    };
    assert.equal(
      refused({ DBBOUNCER_TLS_MODE: 'require' }),
      'tls_mode require needs tls_cert and tls_key',
    );
    assert.equal(
      refused({ ...pair, DBBOUNCER_TLS_MODE: 'verify-ca' }),
      'tls_mode verify-ca needs tls_client_ca',
    );
    assert.equal(
      refused({ ...pair, DBBOUNCER_TLS_CLIENT_CERT_LOGIN: 'true' }),
      'tls_client_cert_login needs tls_client_ca',
    );
    for (const users of ['batch', '=app', 'batch=', 'a=b=c', 'a=b,,c=d']) {
      assert.match(refused({ DBBOUNCER_TLS_CLIENT_CERT_USERS: users }), /must be pairs of name/);
    }
  });

  it('refuses half a certificate for NATS and two files to log in with', () => {
    const env = { DBBOUNCER_NATS_TLS_CERT_FILE: 'a.crt', DBBOUNCER_NATS_NKEY_FILE: 'a.nk' };
    assert.throws(() => resolved({ ...env, DBBOUNCER_NATS_CREDS_FILE: 'a.creds' }), {
      message:
        'nats_tls_cert_file and nats_tls_key_file must be given together\n' +
        'of nats_nkey_file and nats_creds_file only one can be given',
    });
    const { natsNkeyFile } = resolved({ DBBOUNCER_NATS_NKEY_FILE: 'a.nk' });
    assert.equal(natsNkeyFile, join(folder, 'a.nk'));
  });

  it('refuses a named config file that does not exist', () => {
    assert.throws(
      () => resolved({}, { config: 'none.yaml' }),
      /none\.yaml:1:1: cannot be read: ENOENT/,
    );
  });
});

describe('settingsFlags', () => {
  it('has no two settings with one name, flag, variable or place in the file', () => {
    for (const column of ['name', 'flag', 'env', 'yaml'] as const) {
      const names = settingsFlags
        .map((entry) => entry[column])
        .filter((name) => name !== undefined);
      assert.equal(new Set(names).size, names.length, column);
    }
  });

  it('names each flag after its key, so that parsed flags fit', () => {
    for (const { name, flag } of settingsFlags) {
      const kebab = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      if (flag !== undefined) assert.equal(flag, `--${kebab}`);
    }
  });

  it('offers no flag for a secret, since others can read command lines', () => {
    const secrets = settingsFlags.filter(({ name }) => name === 'apiKey' || name === 'masterKey');
    assert.deepEqual(
      secrets.map(({ flag }) => flag),
      [undefined, undefined],
    );
  });

  it('has defaults that its own readers accept', () => {
    for (const entry of settingsFlags) {
      if (entry.name === 'config' || entry.default === undefined) continue;
      resolved({ [entry.env]: entry.default });
    }
  });
});
