/**
 * What is exported and read again leads to the same config: for any tenants, by the same commands
 * and folds as in a control plane.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  DEFAULT_POOL_SETTINGS,
  POOL_SETTINGS,
  toPoolAnswer,
  toPoolOverrides,
} from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { addressKey } from '@dbbouncer/shared/contract/database-servers.ts';
import { toServerFields } from '@dbbouncer/shared/contract/server-resource.ts';
import { effectivePool, findPoolInconsistency } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { secretSchema } from '@dbbouncer/shared/contract/secret.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { newTenantConfig, toTenantFields } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import { nameSchema } from '@dbbouncer/shared/contract/field-schemas.ts';
import { tenantInFileSchema } from '@dbbouncer/shared/contract/tenant-resource.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { parseMasterKeys } from '@dbbouncer/shared/secrets/master-key.ts';
import { describeSecret, toSecret } from '@dbbouncer/shared/secrets/password.ts';
import { toSealedText } from '@dbbouncer/shared/secrets/sealed-text.ts';
import { parseConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { configText } from '@dbbouncer/shared/settings/config-export.ts';
import { formatProblems } from '@dbbouncer/shared/settings/config-problems.ts';
import { handleCommand } from '../commands/handle-command.ts';
import { loadRouting } from '../projections/routing.ts';
import { projectViews } from '../projections/tenant-views.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { secretsOf } from './file-secrets.ts';
import { lastWordsIn } from './last-words.ts';
import { planChanges } from './plan.ts';

const keys = parseMasterKeys('2026:a master key of the tests', 'test');
const keyring = new Keyring(
  { name: 'test', dataDir: '/nowhere', ownFiles: [], read: () => keys },
  () => undefined,
);

/** Texts that YAML, variables or comments could take for something else. */
const TRAPS: readonly string[] = [
  'null,true,007,1e3,~,, x,x: y,# x,- x,*x,&x,!x,|,",\',\\,sealed,é,日本,2026-01-01,<<'.split(','),
  ['${X', '$${X}', 'a${X}b', '$$${', '\n', 'a\tb '],
].flat();
const traps = fc.constantFrom(...TRAPS);
const text = (max: number) => fc.oneof(traps, fc.string({ minLength: 1, maxLength: max }));
const name = text(20).filter((value) => nameSchema.safeParse(value).success);
const password = fc.oneof(
  text(30).filter((value) => value !== '' && !value.includes('\0')),
  fc.constantFrom('${PG_PASSWORD}', 'file:/run/${X}', 'SCRAM-SHA-256$4096:a$b:c'),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 });

const poolFields = Object.fromEntries(
  Object.values(POOL_SETTINGS).map((row) => {
    const probes = [row.default, 0, 1, 5, 0.25, 30_000, 7_200_000].flatMap((stored) => {
      const written = row.written.safeParse(row.toAnswer(stored as never));
      return written.success ? [written.data] : [];
    });
    const choices = 'options' in row.stored ? row.stored.options : probes;
    return [row.name, maybe(fc.constantFrom(...(choices as unknown[])))];
  }),
);

const user = fc.record({
  name,
  password,
  server_user: maybe(name),
  server_password: maybe(password),
  pool_mode: maybe(fc.constantFrom('session', 'transaction')),
  max_connections: maybe(fc.integer({ min: 1, max: 9 })),
  client_auth: maybe(fc.constantFrom('md5', 'scram-sha-256')),
});

const entry = fc
  .record({
    db_type: fc.constantFrom('postgres', 'mysql'),
    host: fc.constantFrom('h', '10.0.0.1', '::1', '/var/run/postgresql', '/run/${X}', 'null'),
    port: maybe(fc.integer({ min: 1, max: 65_535 })),
    dbname: name,
    databases: maybe(fc.uniqueArray(name, { maxLength: 3 })),
    username: name,
    password,
    ...poolFields,
    init_sql: maybe(text(60).filter((sql) => /\S/.test(sql) && !sql.includes('\0'))),
    access: maybe(
      fc.array(
        fc.oneof(
          fc.record({ allow: fc.constantFrom('all', '10.0.0.0/8'), users: fc.constant(['*']) }),
          fc.record({ deny: fc.constantFrom('unix', '::/0') }),
        ),
        { maxLength: 3 },
      ),
    ),
    users: maybe(fc.uniqueArray(user, { maxLength: 3, selector: (one) => one.name })),
    auth_query: maybe(fc.record({ user: name, password, cache_ttl: maybe(fc.constant('1m')) })),
    server_tls: maybe(
      fc.constantFrom(
        { mode: 'disable' },
        { mode: 'verify-full', ca: 'file:/ca.pem', cert: 'file:/c.pem', key: 'a\nkey ${X}\n' },
      ),
    ),
  })
  .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined)))
  .map((fields) => tenantInFileSchema.safeParse(fields));

const seal = (id: TenantId) => (written: string) => toSecret(keyring, written, id);

function isRight({ pool, username, users = [], protocol, authQuery }: TenantConfig): boolean {
  return (
    findPoolInconsistency(effectivePool({ defaults: DEFAULT_POOL_SETTINGS }, { pool })) ===
      undefined &&
    users.every((one) => one.name !== username) &&
    (authQuery === undefined || protocol === 'postgres')
  );
}

const tenants = fc
  .array(entry, { maxLength: 4 })
  .map((entries) =>
    entries.flatMap((read, index) => {
      const id = ['acme', '42', 'null', 'A_b-C'][index] as TenantId;
      return read.success ? [newTenantConfig(id, read.data, seal(id))] : [];
    }),
  )
  .map((made) => made.filter(isRight));

const servers = fc.uniqueArray(
  fc.record(
    {
      name: fc.constantFrom('a', '1', 'null', 'true-b'),
      host: fc.constantFrom('h', '::1', '/run/${X}'),
      port: fc.constantFrom(5432, 5433),
      maxConnections: fc.integer({ min: 1, max: 1_000_000 }),
    },
    { noNullPrototype: true },
  ),
  { maxLength: 3, comparator: (a, b) => a.name === b.name || addressKey(a) === addressKey(b) },
);

const defaults = fc.constantFrom<Partial<PoolSettings>>({}, { maxQueries: 9, idleTimeoutMs: 1 });

/** With every secret opened: sealed twice, it is never the same. */
function opened(value: unknown, id: string): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => opened(one, id));
  const secret = secretSchema.safeParse(value);
  if (secret.success && secret.data.kind === 'sealed') return keyring.open(secret.data, id);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, opened(one, id)]));
}

/** The tenants and defaults of an empty control plane that has read the text. */
function readAgain(exported: string) {
  const reading = parseConfigFile(exported, 'x.yaml', () => 'from the environment');
  if (reading.outcome !== 'ok') {
    assert.fail(`${formatProblems('x', reading.problems).join('\n')}\n${exported}`);
  }
  const store = createMemoryEventStore({ clock: systemClock, project: projectViews });
  const lastWords = lastWordsIn(store);
  const present = { defaults: DEFAULT_POOL_SETTINGS, servers: [], tenants: [], lastWords };
  const plan = planChanges(reading.config, present, secretsOf(keyring));
  assert.deepEqual(plan.conflicts, []);
  for (const command of plan.commands) {
    handleCommand(store, command, { actor: 'file', requestId: 'r' });
  }
  return loadRouting(store);
}

type Describe = (secret: Secret, id: string) => string;

const inClear: Describe = (secret, id) =>
  secret.kind === 'sealed' ? keyring.open(secret, id) : describeSecret(secret);
const asSealed: Describe = (secret) =>
  secret.kind === 'sealed' ? toSealedText(secret) : describeSecret(secret);

describe('an exported config that is read again', () => {
  for (const [way, describeAs] of Object.entries({ 'in clear': inClear, sealed: asSealed })) {
    it(`is the same config, with its secrets ${way}`, () => {
      fc.assert(
        fc.property(tenants, servers, defaults, (configs, declared, own) => {
          const settings = { ...DEFAULT_POOL_SETTINGS, ...own };
          const exported = configText({
            defaults: toPoolAnswer(settings),
            servers: declared.map(toServerFields),
            tenants: configs.map((config) => ({
              fields: toTenantFields(config, (secret) => describeAs(secret, config.id)),
              state: 'active',
            })),
            secrets: 'written',
            head: ['# head: \n tenants: {}'],
          });
          const routing = readAgain(Array.from(exported).join(''));
          assert.deepEqual(routing.defaults, settings);
          const byName = declared.map((server) => [server.name, server] as const);
          assert.deepEqual(routing.servers, new Map(byName));
          const all = (list: Iterable<TenantConfig>) =>
            Object.fromEntries(
              Array.from(list, (config) => [config.id, opened(config, config.id)]),
            );
          assert.deepEqual(all(routing.tenants.values()), all(configs));
        }),
        { numRuns: 150 },
      );
    });
  }

  it('has a variable of its own for each sealed secret, and tells which to set', () => {
    const id = 'acme' as TenantId;
    const config = newTenantConfig(
      id,
      tenantInFileSchema.parse({
        db_type: 'postgres',
        host: 'h',
        dbname: 'd',
        username: 'u',
        password: 'pl4nted',
        users: [
          { name: 'a b', password: 'pl4nted', server_password: '${KEPT}' },
          { name: 'a-b', password: 'pl4nted' },
        ],
        auth_query: { user: 'q', password: 'pl4nted' },
        server_tls: { mode: 'require', cert: 'file:/c', key: 'pl4nted' },
        ...toPoolOverrides({}),
      }),
      seal(id),
    );
    const text = Array.from(
      configText({
        defaults: toPoolAnswer(DEFAULT_POOL_SETTINGS),
        servers: [],
        tenants: [{ fields: toTenantFields(config, describeSecret), state: 'paused' }],
        secrets: 'described',
        head: [],
      }),
    ).join('');
    assert.doesNotMatch(text, /pl4nted/);
    for (const [variable, place] of [
      ['TENANT_ACME_PASSWORD', 'password'],
      ['TENANT_ACME_A_B_PASSWORD', 'users.a b.password'],
      ['TENANT_ACME_A_B_PASSWORD_2', 'users.a-b.password'],
      ['TENANT_ACME_AUTH_QUERY_PASSWORD', 'auth_query.password'],
      ['TENANT_ACME_SERVER_TLS_KEY', 'server_tls.key'],
    ]) {
      assert.ok(text.includes(`#   ${variable}   ${place} of acme\n`), text);
      assert.ok(text.includes(`: \${${variable}}\n`), text);
    }
    assert.ok(text.includes('server_password: ${KEPT}\n'));
    assert.match(text, /^# What a file cannot say:\n# {3}acme was paused$/m);
    assert.equal(readAgain(text).tenants.get('acme')?.password.kind, 'env');
  });
});
