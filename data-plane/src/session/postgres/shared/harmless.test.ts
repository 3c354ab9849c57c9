/** Verdicts from given facts; a real server's are held against it in tests/sql. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { Catalog } from '../../../upstream/catalog/catalog.ts';
import { factsFrom, unknownFacts } from '../../../upstream/catalog/catalog-facts.ts';
import type { CatalogFacts, FactRow } from '../../../upstream/catalog/catalog-facts.ts';
import { dirtied, textEffects } from '../sql/effects.ts';
import { sharingVerdict } from './harmless.ts';

const STANDARD = { standardConformingStrings: true };

const ROWS: readonly FactRow[] = [
  ['relation', '1', 'public', 't', 'insert', 'harmless'],
  ['relation', '2', 'public', 'm', 'read', 'harmless'],
  ['relation', '3', 'public', 'twice', 'insert', 'harmless'],
  ['relation', '4', 'other', 'twice', 'nothing', 'relation_not_plain'],
  ['relation', '5', 'public', 'guarded', 'nothing', 'row_level_security'],
  ['relation', '6', 'public', 'ruled', 'nothing', 'harmless'],
  ['relation', '7', 'pg_catalog', 'pg_settings', 'read', 'relation_not_plain'],
  ['relation', '8', 'public', 'GrÃ¶sse', 'insert', 'harmless'],
  ['type', 'public', 'mood', null, null, null],
  ['function', 'lower', null, null, null, null],
  ['operator', '@@', null, null, null, null],
  ['operator', '~~', null, null, null, null],
  ['attribute', 'of_any', null, null, null, null],
];

async function catalogOf(facts: CatalogFacts): Promise<Catalog> {
  const load = () => Promise.resolve(facts);
  const catalog = new Catalog({ load, clock: systemClock, log: silentLogger });
  catalog.refreshSoon();
  await new Promise(setImmediate);
  return catalog;
}

describe('sharingVerdict', () => {
  const verdicts: readonly (readonly [sql: string, verdict: string])[] = [
    ['SELECT 1', 'harmless'],
    ['SELECT upper(a) FROM t JOIN m USING (a)', 'harmless'],
    ['SELECT * FROM public.twice', 'harmless'],
    ["SELECT 'fine'::mood, 'fine'::public.mood", 'harmless'],
    ['SELECT * FROM twice', 'relation_not_plain'],
    ['SELECT * FROM other.twice', 'relation_not_plain'],
    ['SELECT * FROM guarded', 'row_level_security'],
    ['SELECT * FROM ruled', 'relation_not_plain'],
    ['SELECT * FROM pg_settings', 'relation_not_plain'],
    ['SELECT * FROM absent', 'unknown_relation'],
    ['SELECT * FROM "GrÃ¶sse"', 'unknown_relation'],
    ["SELECT 'x'::strange", 'type_not_plain'],
    ['SELECT lower(a) FROM t', 'user_defined_in_the_way'],
    ['SELECT pg_catalog.lower(a) FROM t', 'user_defined_in_the_way'],
    ['SELECT a @@ b, a @> b FROM t', 'user_defined_in_the_way'],
    ['SELECT a OPERATOR(pg_catalog.@@) b FROM t', 'user_defined_in_the_way'],
    ['SELECT a OPERATOR(s.@@) b FROM t', 'unknown_function'],
    ["SELECT a FROM t WHERE a NOT LIKE 'x'", 'user_defined_in_the_way'],
    ['SELECT t.of_any FROM t', 'user_defined_in_the_way'],
    ['SELECT a @> b, t.a, a IN (1, 2), of_any FROM t', 'harmless'],
    ['SELECT pg_sleep(1) FROM absent', 'effectful_function'],
    ['UPDATE t SET a = 1', 'writes'],
  ];
  for (const [sql, verdict] of verdicts) {
    it(`is ${verdict} for ${sql}`, async () => {
      const catalog = await catalogOf(factsFrom(ROWS));
      assert.equal(sharingVerdict(textEffects(sql, STANDARD), catalog), verdict);
    });
  }

  const doubts = [
    ['cast', 'user_defined_in_the_way'],
    ['too_many_relations', 'catalog_too_large'],
  ] as const;
  for (const [doubt, verdict] of doubts) {
    it(`is ${verdict} for every text where the catalog has ${doubt}`, async () => {
      const catalog = await catalogOf(unknownFacts(doubt));
      assert.equal(sharingVerdict(textEffects('SELECT 1', STANDARD), catalog), verdict);
    });
  }

  it('is user_defined_in_the_way for every text where users have an operator =', async () => {
    const catalog = await catalogOf(factsFrom([['operator', '=', null, null, null, null]]));
    const verdict = sharingVerdict(textEffects('SELECT 1 IN (2)', STANDARD), catalog);
    assert.equal(verdict, 'user_defined_in_the_way');
  });

  it('is parameter_type for a read with a parameter of a type of users', async () => {
    const catalog = await catalogOf(factsFrom(ROWS));
    const effects = dirtied(textEffects('SELECT a FROM t WHERE a = $1', STANDARD));
    assert.equal(sharingVerdict(effects, catalog), 'parameter_type');
  });

  it('follows the facts: nothing is known while somebody defines something', async () => {
    let rows = ROWS;
    const load = () => Promise.resolve(factsFrom(rows));
    const catalog = new Catalog({ load, clock: systemClock, log: silentLogger });
    const effects = textEffects('SELECT a FROM t WHERE a = 1', STANDARD);
    const verdict = () => sharingVerdict(effects, catalog);
    assert.equal(verdict(), 'catalog_unknown');
    await new Promise(setImmediate);
    assert.equal(verdict(), 'harmless');
    assert.equal(verdict(), 'harmless');
    catalog.defining();
    assert.equal(verdict(), 'catalog_unknown');
    rows = [];
    catalog.defined();
    assert.equal(verdict(), 'catalog_unknown');
    await new Promise(setImmediate);
    assert.equal(verdict(), 'unknown_relation');
  });
});
