/** Turns of a comparison: who takes part how often, and what comes out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare } from './comparison.ts';
import type { RowResult } from './comparison.ts';
import type { Contender, Side } from './contender.ts';
import { moreThanTheirs, value } from './goals.ts';
import type { Row, Sample } from './row.ts';

const LOGIN = { user: 'x', password: 'x', database: 'x' };

function contender(name: string, side: Side): Contender {
  return { name, side, host: '127.0.0.1', port: 1, pid: undefined, login: LOGIN };
}

const OURS = contender('ours', 'ours');
const SMALL = contender('small', 'theirs');
const LARGE = contender('large', 'theirs');

/** Runs a row whose values are those given, a list of turns for each contender. */
async function run(
  values: Readonly<Record<string, readonly (number | Error)[]>>,
  overrides: Partial<Row> = {},
): Promise<{ readonly result: RowResult; readonly order: readonly string[] }> {
  const order: string[] = [];
  const turns = new Map<string, number>();
  const row: Row = {
    key: 'key',
    title: 'title',
    unit: 'tps',
    better: 'more',
    goals: [moreThanTheirs('tps', value, { bar: 1.2 })],
    direct: 'absent',
    stage: 'common',
    needs: 'transaction',
    turns: 'repeated',
    run: async ({ name }): Promise<Sample> => {
      order.push(name);
      const turn = turns.get(name) ?? 0;
      turns.set(name, turn + 1);
      const next = values[name]?.[turn] ?? NaN;
      if (next instanceof Error) throw next;
      return { value: next, work: 10, cpuUs: next, counts: { twice: next * 2 } };
    },
    ...overrides,
  };
  const result = await compare(row, [OURS, SMALL, LARGE], {
    context: { programs: { pgbench: '', psql: '' }, seconds: 1 },
    warmUpSeconds: 1,
    repeats: 3,
    connectionsInUse: async ({ name }) => name.length,
    onProgress: () => {},
  });
  return { result, order };
}

describe('compare', () => {
  const EVEN = { ours: [9, 30, 10, 20], small: [9, 10, 12, 11], large: [9, 9, 9, 9] };

  it('goes round A B C, leaves the first round out, and takes medians of the rest', async () => {
    const { result, order } = await run(EVEN);
    assert.deepEqual(order.slice(0, 6), ['ours', 'small', 'large', 'ours', 'small', 'large']);
    const [ours] = result.outcomes;
    assert.deepEqual(ours?.value, { median: 20, min: 10, max: 30 });
    assert.equal(ours.turns, 3);
    assert.equal(ours.cpuUsPerWork, 2);
    assert.equal(ours.counts['twice'], 40);
    assert.deepEqual([ours.serverConnections, ours.usualConnections], [4, 4]);
  });

  it('compares with the best of theirs and judges by the goals', async () => {
    const { result } = await run(EVEN);
    assert.equal(result.best, 'small');
    assert.equal(result.ratio, 20 / 11);
    assert.equal(result.goals[0]?.verdict, 'reached');
  });

  it('turns the ratio round where less is better', async () => {
    const { result } = await run(EVEN, { better: 'less' });
    assert.deepEqual([result.best, result.ratio], ['large', 9 / 20]);
  });

  it('lets pool sizes that reach less than 0.8 of the best go after one counted turn', async () => {
    const { result, order } = await run({ ...EVEN, large: [9, 7.9, 99, 99] });
    assert.equal(order.filter((name) => name === 'large').length, 2);
    assert.equal(result.outcomes[2]?.turns, 1);
    assert.equal(result.best, 'small');
  });

  it('tells the words of one that fails, and asks and compares it no more', async () => {
    const small = [9, new Error('too many clients'), 12, 11];
    const { result, order } = await run({ ...EVEN, small });
    assert.equal(order.filter((name) => name === 'small').length, 2);
    assert.equal(result.outcomes[1]?.failure, 'too many clients');
    assert.equal(result.best, 'large');
  });

  it('runs once, without warming up, what only the first time shows', async () => {
    const { result, order } = await run(EVEN, { turns: 'once' });
    assert.deepEqual(order, ['ours', 'small', 'large']);
    assert.equal(result.outcomes[0]?.value.median, 9);
  });
});
