/** When the facts of a catalog are loaded, kept and forgotten, and what is clean without them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { leavesClean } from '@dbbouncer/data-plane/session/postgres/catalog-judgement.ts';
import { textEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import { Catalog } from '@dbbouncer/data-plane/upstream/catalog/catalog.ts';
import { factsFrom, unknownFacts } from '@dbbouncer/data-plane/upstream/catalog/catalog-facts.ts';
import type { CatalogFacts } from '@dbbouncer/data-plane/upstream/catalog/catalog-facts.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { followPromises, ManualClock } from '../support/manual-clock.ts';

const PLAIN = [['relation', '20000', 'public', 't', 'insert']];

/** A catalog whose loads are answered by hand. */
function rig() {
  const clock = new ManualClock();
  const loads: PromiseWithResolvers<CatalogFacts>[] = [];
  const load = () => {
    const answer = Promise.withResolvers<CatalogFacts>();
    loads.push(answer);
    return answer.promise;
  };
  const catalog = new Catalog({ load, clock, log: silentLogger, ttlMs: 30_000 });
  const answer = async (rows: string[][] = PLAIN) => {
    loads.at(-1)?.resolve(factsFrom(rows));
    await followPromises();
  };
  const fail = async () => {
    loads.at(-1)?.reject(new Error('no'));
    await followPromises();
  };
  return { catalog, clock, loads, answer, fail };
}

describe('Catalog', () => {
  it('loads nothing before it is used, and then once for many uses', async () => {
    const { catalog, loads, answer } = rig();
    assert.equal(loads.length, 0);
    for (let use = 0; use < 5; use++) catalog.refreshSoon();
    assert.equal(loads.length, 1);
    assert.equal(catalog.current, undefined);
    await answer();
    assert.deepEqual(catalog.current, factsFrom(PLAIN));
    catalog.refreshSoon();
    assert.equal(loads.length, 1);
  });

  it('reloads after 15 s of 30 when used, keeping the old facts meanwhile', async () => {
    const { catalog, clock, loads, answer } = rig();
    catalog.refreshSoon();
    await answer();
    const first = catalog.current;
    await clock.pass(14_999);
    catalog.refreshSoon();
    assert.equal(loads.length, 1);
    await clock.pass(1);
    catalog.refreshSoon();
    assert.equal(loads.length, 2);
    assert.equal(catalog.current, first);
    await answer();
    assert.notEqual(catalog.current, first);
  });

  it('forgets facts 30 s after their load began, however long that took', async () => {
    const { catalog, clock, answer } = rig();
    catalog.refreshSoon();
    await clock.pass(4_000);
    await answer();
    await clock.pass(25_999);
    assert.notEqual(catalog.current, undefined);
    await clock.pass(1);
    assert.equal(catalog.current, undefined);
  });

  it('forgets the facts when a load fails and tries again after 1 s, 2 s … 60 s', async () => {
    const { catalog, clock, loads, answer, fail } = rig();
    catalog.refreshSoon();
    await answer();
    await clock.pass(15_000);
    catalog.refreshSoon();
    await fail();
    assert.equal(catalog.current, undefined);
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      const before = loads.length;
      await clock.pass(waitMs - 1);
      catalog.refreshSoon();
      assert.equal(loads.length, before, `${waitMs} ms`);
      await clock.pass(1);
      catalog.refreshSoon();
      assert.equal(loads.length, before + 1, `${waitMs} ms`);
      await fail();
    }
  });

  it('forgets on a definition the facts it has and those on their way', async () => {
    const { catalog, loads, answer } = rig();
    catalog.refreshSoon();
    await answer();
    catalog.invalidate();
    assert.equal(catalog.current, undefined);
    catalog.refreshSoon();
    catalog.invalidate();
    await answer();
    assert.equal(catalog.current, undefined);
    catalog.refreshSoon();
    assert.equal(loads.length, 3);
    await answer();
    assert.notEqual(catalog.current, undefined);
  });
});

describe('a definition under way', () => {
  it('leaves nothing known, and nothing loaded, until it and every other are over', async () => {
    const { catalog, loads, answer } = rig();
    catalog.refreshSoon();
    await answer();
    const { generation } = catalog;
    catalog.defining();
    catalog.defining();
    catalog.defined();
    catalog.refreshSoon();
    assert.equal(catalog.current, undefined);
    assert.equal(loads.length, 1);
    catalog.defined();
    catalog.refreshSoon();
    await answer();
    assert.notEqual(catalog.current, undefined);
    assert.notEqual(catalog.generation, generation);
  });
});

describe('leavesClean', () => {
  const judged = (sql: string, catalog?: Catalog) =>
    leavesClean(textEffects(sql, { standardConformingStrings: true }), catalog);

  it('needs no catalog for statements that run no query, and one for all that do', async () => {
    const { catalog, answer } = rig();
    for (const sql of ['BEGIN', 'COMMIT', `SET application_name TO 'a'`, 'SHOW timezone', '']) {
      assert.equal(judged(sql), true, sql);
    }
    for (const sql of ['SELECT 1', 'SELECT * FROM t', 'INSERT INTO t VALUES (1)']) {
      assert.equal(judged(sql), false, sql);
      assert.equal(judged(sql, catalog), false, sql);
    }
    await answer();
    for (const sql of ['SELECT 1', 'SELECT * FROM t', 'INSERT INTO t VALUES (1)']) {
      assert.equal(judged(sql, catalog), true, sql);
    }
  });

  it('judges anew when the facts are others', async () => {
    const { catalog, answer } = rig();
    judged('SELECT * FROM t', catalog);
    await answer();
    assert.equal(judged('SELECT * FROM t', catalog), true);
    catalog.invalidate();
    assert.equal(judged('SELECT * FROM t', catalog), false);
    await answer([['relation', '20000', 'public', 't', 'nothing']]);
    assert.equal(judged('SELECT * FROM t', catalog), false);
  });

  it('calls no query clean in a database of which nothing is known', async () => {
    const { catalog, loads } = rig();
    judged('SELECT 1', catalog);
    loads[0]?.resolve(unknownFacts('too_many_relations'));
    await followPromises();
    assert.equal(judged('SELECT 1', catalog), false);
    assert.equal(judged('BEGIN', catalog), true);
  });

  it('calls what is dirty by its text dirty in every database', async () => {
    const { catalog, answer } = rig();
    judged('SELECT 1', catalog);
    await answer();
    for (const sql of [`SELECT nextval('s')`, 'DO $$ $$', 'SELECT 1; SELECT 2', 'SELECT (t).own']) {
      assert.equal(judged(sql, catalog), false, sql);
    }
  });
});
