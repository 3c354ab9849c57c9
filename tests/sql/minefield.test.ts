/**
 * Nothing that runs code of users, or leaves a trace, may run beside other clients: held against
 * real servers of two versions, on a database full of such code.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fuzzing } from '../support/fuzzing.ts';
import { generateMineStatement } from './mine-statements.ts';
import { DOUBTS, MINES } from './minefield.ts';
import type { Mine } from './minefield.ts';
import { Minefield, serverPrograms, startMineServer } from './minefield-server.ts';

/** What most traffic is made of. */
const HARMLESS = [
  'SELECT 1',
  'SELECT a, b FROM plain WHERE a = 1;',
  'SELECT p.a, count(*), max(o.d) FROM plain p JOIN other AS o USING (a) GROUP BY p.a ORDER BY 1',
  "SELECT * FROM typed WHERE b = 'fine' AND s::text LIKE 'a%' AND m @> '{bad}'::mood[]",
  'SELECT b FROM parted WHERE a = 1 UNION ALL SELECT b FROM kept',
  'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) TABLE r',
  'VALUES (1), (2)',
  'TABLE plain',
  'SELECT * FROM layered l, simple WHERE l.a = simple.a',
  'SELECT u.id, p.b FROM unnest(ARRAY[1, 2]) AS u (id) JOIN plain p ON p.a = u.id',
  `SELECT e.key, e.value, now() FROM jsonb_each('{"a": 1}') e`,
  'SELECT row_number() OVER (PARTITION BY b ORDER BY a), coalesce(b, $$x$$) FROM plain LIMIT 5',
  'SELECT EXISTS (SELECT FROM plain WHERE a = 3), ARRAY(SELECT a FROM plain), CAST(1.5 AS text)',
  'SELECT relname FROM pg_catalog.pg_class WHERE relkind = $$r$$',
];

for (const [name, programs] of serverPrograms()) {
  describe(`mines on PostgreSQL of ${name}`, () => {
    let cluster: PostgresCluster;
    before(async () => {
      cluster = await startMineServer(programs);
    });
    after(() => cluster.remove());

    async function checkSteps(field: Minefield, { steps }: Mine): Promise<void> {
      for (const sql of steps) {
        assert.notEqual(field.verdict(sql), 'harmless', sql);
        const { trace, outcome } = await field.step(sql);
        const isNewer = programs !== undefined && /does not exist/.test(outcome);
        assert.equal(trace, isNewer ? 'none' : 'left', `${sql}: ${outcome}`);
      }
    }

    it('are all live, and all refused; what lies between them is harmless', async () => {
      const field = await Minefield.lay(cluster, 'field', MINES);
      for (const mine of MINES) await checkSteps(field, mine);
      for (const sql of HARMLESS) {
        assert.equal(field.verdict(sql), 'harmless', sql);
        assert.deepEqual(await field.step(sql), { trace: 'none', outcome: 'ran' }, sql);
      }
      await field.leave();
    });

    it('are refused as well where names of users come before those of the server', async () => {
      const path = 'public, pg_catalog';
      const field = await Minefield.lay(cluster, 'field_first', MINES, { path });
      for (const mine of MINES) await checkSteps(field, mine);
      await field.leave();
    });

    it('are reached by no statement at random that is called harmless', async () => {
      const path = 'public, pg_catalog';
      const fields = [
        await Minefield.lay(cluster, 'random', MINES),
        await Minefield.lay(cluster, 'random_first', MINES, { path }),
      ];
      const counts = { harmless: 0, carriedOut: 0, traces: 0 };
      const seeds = fc.integer({ min: 0, max: 0x7fffffff });
      const plan = fuzzing({ runs: 200, seed: 1_804 });
      await fc.assert(
        fc.asyncProperty(seeds, fc.constantFrom(...fields), async (seed, field) => {
          const sql = generateMineStatement(seed);
          const isHarmless = field.verdict(sql) === 'harmless';
          const { trace, outcome } = await field.step(sql);
          if (trace === 'left') counts.traces += 1;
          if (!isHarmless) return;
          counts.harmless += 1;
          if (outcome === 'ran') counts.carriedOut += 1;
          assert.equal(trace, 'none', sql);
        }),
        plan,
      );
      for (const field of fields) await field.leave();
      // Few would prove little.
      const { harmless, carriedOut, traces } = counts;
      const said = JSON.stringify(counts);
      assert.ok(harmless > plan.numRuns / 10 && carriedOut > plan.numRuns / 15, said);
      assert.ok(traces > plan.numRuns / 20, said);
    });

    for (const [i, mine] of DOUBTS.entries()) {
      it(`forbid every text where there are ${mine.name}`, async () => {
        const field = await Minefield.lay(cluster, `doubt_${i}`, [mine]);
        await checkSteps(field, mine);
        for (const sql of HARMLESS) {
          assert.equal(field.verdict(sql), 'user_defined_in_the_way', sql);
        }
        await field.leave();
      });
    }
  });
}
