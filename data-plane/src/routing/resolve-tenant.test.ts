/**
 * Which tenant a login reaches, rule by rule for each selector, and that no way of writing a login
 * leads to a tenant it did not name.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import * as fc from 'fast-check';
import { resolveTenant } from './resolve-tenant.ts';
import type { Login, Resolution, SelectorSettings } from './resolve-tenant.ts';
import { RoutingSnapshot } from './snapshot.ts';
import { someConfig, someTenant } from './testing.ts';

const snapshot = new RoutingSnapshot(
  someConfig([
    someTenant('Acme', { databases: ['reports', 'analyst', 'globex'] }),
    someTenant('globex', { pool: { maxConnections: 3 } }),
    someTenant('a_'),
    someTenant('shop', { protocol: 'mysql' }),
  ]),
);
const OFF: SelectorSettings = { usernameDot: 'off' };
const DOT: SelectorSettings = { usernameDot: 'on' };
const SNI: SelectorSettings = { usernameDot: 'off', sniSuffix: 'db.example.com' };

function resolve(login: Partial<Login>, settings = OFF): Resolution {
  return resolveTenant(
    { protocol: 'postgres', user: 'bob', database: undefined, selectors: {}, ...login },
    snapshot,
    settings,
  );
}

/**
 * One word per outcome: `tenant/user/database`, `unknown:reason(claimed)` or `conflict(sources)`.
 */
function told(resolution: Resolution): string {
  switch (resolution.kind) {
    case 'tenant':
      return [resolution.tenant.id, resolution.user, resolution.database ?? 'not listed'].join('/');
    case 'unknown':
      return `unknown:${resolution.reason}(${resolution.claimed ?? ''})`;
    case 'conflict':
      return `conflict(${resolution.selectors.map((s) => `${s.source}=${s.value}`).join(',')})`;
    default:
      return unreachable(resolution);
  }
}

type Row = readonly [rule: string, login: Partial<Login>, expected: string, SelectorSettings?];

function table(title: string, rows: readonly Row[]): void {
  describe(title, () => {
    for (const [rule, login, expected, settings] of rows) {
      it(rule, () => assert.equal(told(resolve(login, settings)), expected));
    }
  });
}

table('explicit parameters', [
  ['options select', { selectors: { options: 'Acme' } }, 'Acme/bob/Acme_db'],
  ['a startup parameter selects', { selectors: { parameter: 'Acme' } }, 'Acme/bob/Acme_db'],
  ['a connection attribute selects', { selectors: { attribute: 'Acme' } }, 'Acme/bob/Acme_db'],
  ['case does not matter', { selectors: { options: 'aCME' } }, 'Acme/bob/Acme_db'],
  [
    'two that agree but for case are one',
    { selectors: { options: 'acme', parameter: 'ACME' } },
    'Acme/bob/Acme_db',
  ],
  [
    'two that differ conflict, whether or not the tenants exist',
    { selectors: { options: 'Acme', attribute: 'nobody' } },
    'conflict(options=Acme,attribute=nobody)',
  ],
  [
    'two unknown ones that differ conflict',
    { selectors: { options: 'x', parameter: 'y' } },
    'conflict(options=x,parameter=y)',
  ],
  [
    'the last of four that differs conflicts',
    { selectors: { options: 'a', parameter: 'a', sni: 'a.db.example.com', attribute: 'b' } },
    'conflict(options=a,parameter=a,sni=a,attribute=b)',
    SNI,
  ],
  [
    'an unknown one is unknown, also where the database names a tenant',
    { selectors: { options: 'nobody' }, database: 'Acme' },
    'unknown:unknown_tenant(nobody)',
  ],
  [
    'an empty one is one',
    { selectors: { options: '' }, database: 'Acme' },
    'unknown:unknown_tenant()',
  ],
  [
    'a tenant of the other protocol is unknown',
    { selectors: { options: 'shop' } },
    'unknown:unknown_tenant(shop)',
  ],
  [
    'the listener of the other protocol knows it',
    { protocol: 'mysql', selectors: { attribute: 'shop' } },
    'shop/bob/shop_db',
  ],
]);

table('server name (SNI)', [
  ['the label selects', { selectors: { sni: 'acme.db.example.com' } }, 'Acme/bob/Acme_db', SNI],
  ['case does not matter', { selectors: { sni: 'ACME.DB.Example.COM' } }, 'Acme/bob/Acme_db', SNI],
  [
    'without a suffix it selects nothing',
    { selectors: { sni: 'acme.db.example.com' }, database: 'globex' },
    'globex/bob/globex_db',
  ],
  [
    'another domain selects nothing',
    { selectors: { sni: 'acme.example.org' }, database: 'globex' },
    'globex/bob/globex_db',
    SNI,
  ],
  [
    'the suffix itself selects nothing',
    { selectors: { sni: 'db.example.com' }, database: 'globex' },
    'globex/bob/globex_db',
    SNI,
  ],
  [
    'a longer last label is not the suffix',
    { selectors: { sni: 'acmedb.example.com' }, database: 'globex' },
    'globex/bob/globex_db',
    SNI,
  ],
  [
    'two labels are no tenant',
    { selectors: { sni: 'x.acme.db.example.com' }, database: 'globex' },
    'unknown:unknown_tenant(x.acme)',
    SNI,
  ],
  [
    'it conflicts with options that differ',
    { selectors: { sni: 'acme.db.example.com', options: 'globex' } },
    'conflict(options=globex,sni=acme)',
    SNI,
  ],
]);

table('user name prefix', [
  ['X__user selects and is stripped', { user: 'acme__bob' }, 'Acme/bob/Acme_db'],
  [
    'it wins over the database name',
    { user: 'acme__bob', database: 'reports' },
    'Acme/bob/reports',
  ],
  ['the first "__" splits', { user: 'acme__bob__x' }, 'Acme/bob__x/Acme_db'],
  ['an id that ends in "_" is found', { user: 'a___bob' }, 'a_/bob/a__db'],
  ['the rest may begin with "_"', { user: 'acme___bob' }, 'Acme/_bob/Acme_db'],
  [
    'an unknown X is part of the user name',
    { user: 'nobody__bob', database: 'acme' },
    'Acme/nobody__bob/Acme_db',
  ],
  [
    'nothing after "__" is no prefix',
    { user: 'acme__', database: 'globex' },
    'globex/acme__/globex_db',
  ],
  ['nothing before "__" is no prefix', { user: '__bob', database: 'acme' }, 'Acme/__bob/Acme_db'],
  [
    'a tenant of the other protocol is part of the user name',
    { user: 'shop__bob', database: 'acme' },
    'Acme/shop__bob/Acme_db',
  ],
  [
    'it is stripped beside a parameter that agrees',
    { user: 'ACME__bob', selectors: { options: 'acme' } },
    'Acme/bob/Acme_db',
  ],
  [
    'it disagrees with a parameter: unknown, not told',
    { user: 'globex__bob', selectors: { options: 'acme' } },
    'unknown:selector_conflict(acme)',
  ],
  [
    'it disagrees with an unknown parameter: unknown, not told',
    { user: 'globex__bob', selectors: { options: 'nobody' } },
    'unknown:selector_conflict(nobody)',
  ],
  [
    'an unknown prefix stays beside a parameter',
    { user: 'nobody__bob', selectors: { options: 'acme' } },
    'Acme/nobody__bob/Acme_db',
  ],
]);

table('user name with a dot', [
  [
    'off: it is part of the name',
    { user: 'bob.acme', database: 'globex' },
    'globex/bob.acme/globex_db',
  ],
  ['on: user.X selects and is stripped', { user: 'bob.acme' }, 'Acme/bob/Acme_db', DOT],
  ['on: the last dot splits', { user: 'bob.b.acme' }, 'Acme/bob.b/Acme_db', DOT],
  ['on: an unknown X stays', { user: 'bob.x', database: 'acme' }, 'Acme/bob.x/Acme_db', DOT],
  [
    'on: nothing before the dot stays',
    { user: '.acme', database: 'globex' },
    'globex/.acme/globex_db',
    DOT,
  ],
  ['on: it agrees with a prefix', { user: 'acme__bob.ACME' }, 'Acme/bob/Acme_db', DOT],
  [
    'on: it disagrees with a prefix',
    { user: 'acme__bob.globex' },
    'unknown:selector_conflict()',
    DOT,
  ],
  [
    'on: it disagrees with a parameter',
    { user: 'bob.globex', selectors: { options: 'acme' } },
    'unknown:selector_conflict(acme)',
    DOT,
  ],
]);

table('database name as selector', [
  ['it selects when nothing else does', { database: 'acme' }, 'Acme/bob/Acme_db'],
  [
    "the name of a tenant's database is not its id",
    { database: 'Acme_db' },
    'unknown:unknown_tenant(Acme_db)',
  ],
  [
    'the user name as database selects too',
    { user: 'acme', database: 'acme' },
    'Acme/acme/Acme_db',
  ],
  ['no database at all', {}, 'unknown:no_selector()'],
  ['an empty database', { database: '' }, 'unknown:no_selector()'],
  ["libpq's default, the user name", { database: 'bob' }, 'unknown:no_selector()'],
  ['an unknown name', { database: 'nobody' }, 'unknown:unknown_tenant(nobody)'],
  ['a tenant of the other protocol', { database: 'shop' }, 'unknown:unknown_tenant(shop)'],
]);

const ACME = { options: 'acme' };
table('database of an explicitly selected tenant', [
  ['absent: its own', { selectors: ACME }, 'Acme/bob/Acme_db'],
  ['empty: its own', { selectors: ACME, database: '' }, 'Acme/bob/Acme_db'],
  ['its own', { selectors: ACME, database: 'Acme_db' }, 'Acme/bob/Acme_db'],
  [
    'its own in other letters is another',
    { selectors: ACME, database: 'ACME_DB' },
    'Acme/bob/not listed',
  ],
  ['its id', { selectors: ACME, database: 'ACME' }, 'Acme/bob/Acme_db'],
  ['the user name: its own', { selectors: ACME, database: 'bob' }, 'Acme/bob/Acme_db'],
  ['the raw user name: its own', { user: 'acme__bob', database: 'acme__bob' }, 'Acme/bob/Acme_db'],
  ['the stripped user name: its own', { user: 'acme__bob', database: 'bob' }, 'Acme/bob/Acme_db'],
  ['a listed one', { selectors: ACME, database: 'reports' }, 'Acme/bob/reports'],
  [
    'a listed one wins over the user name',
    { selectors: ACME, user: 'analyst', database: 'analyst' },
    'Acme/analyst/analyst',
  ],
  ['one that is not listed', { selectors: ACME, database: 'secret' }, 'Acme/bob/not listed'],
  [
    "another tenant's id is just a name",
    { selectors: { options: 'globex' }, database: 'acme' },
    'globex/bob/not listed',
  ],
  [
    "another tenant's id that is listed is that database",
    { selectors: ACME, database: 'globex' },
    'Acme/bob/globex',
  ],
]);

describe('resolveTenant', () => {
  it('hands out the effective pool settings of the snapshot', () => {
    const resolution = resolve({ selectors: { options: 'globex' } });
    assert(resolution.kind === 'tenant');
    assert.equal(resolution.pool.maxConnections, 3);
    assert.equal(resolution.pool.acquireTimeoutMs, 10_000);
    assert.equal(resolution.pool, snapshot.poolSettings(resolution.tenant));
  });

  it('repeats the database as it was asked for', () => {
    const resolution = resolve({ selectors: ACME, database: 'secret' });
    assert(resolution.kind === 'tenant');
    assert.equal(resolution.requestedDatabase, 'secret');
  });

  it('never lets any other selector reach a tenant than the parameter that was given', () => {
    const names = fc.constantFrom('acme', 'globex', 'nobody', 'acme__bob', 'x__y', 'bob.acme', '');
    fc.assert(
      fc.property(
        names,
        names,
        names,
        fc.constantFrom<'off' | 'on'>('off', 'on'),
        (id, user, database, dot) => {
          const login = { user, database, selectors: { options: id } };
          const resolution = resolve(login, { usernameDot: dot });
          if (resolution.kind === 'tenant') assert.equal(resolution.tenant.id.toLowerCase(), id);
        },
      ),
    );
  });
});
