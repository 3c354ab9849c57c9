/** What a proxy keeps of the budget is there after a crash, and a damaged file gives it nothing. */
import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { BudgetFile } from './budget-file.ts';
import { tenant } from './testing.ts';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'budget-file-'));
  path = join(dir, 'budget.jsonl');
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

function open(id: 'kept' | 'configured' = 'kept', wall?: string): BudgetFile {
  const clock = wall === undefined ? systemClock : { ...systemClock, timestamp: () => wall };
  return new BudgetFile({ dir, id, clock, log: silentLogger });
}

describe('BudgetFile', () => {
  it('counts lives from 1, and knows of nothing left behind in the first', () => {
    const first = open();
    assert.deepEqual([first.life, first.left], [1, 'nothing']);
    const second = open();
    assert.deepEqual([second.life, second.left], [2, 'maybe']);
  });

  it('knows of nothing left behind after an orderly end, and may after a crash', async () => {
    await open().save({ ending: 'in_order' });
    assert.equal(open().left, 'nothing');
    assert.equal(open().left, 'maybe');
  });

  it('gives a configured id whose folder is lost a life above all before', () => {
    const { life, left } = open('configured', '2026-11-22T00:00:00.000Z');
    assert.deepEqual([life, left], [1_795_305_600, 'maybe']);
    assert.equal(open('configured').life, 1_795_305_601);
  });

  it('keeps what was saved, for the owner alone', async () => {
    const file = open();
    const floors = [{ tenant: tenant('Acme'), floor: 2 }];
    await Promise.all([
      file.save({ share: { divisor: 3 }, floors, term: 7 }),
      file.save({ floors: [{ tenant: tenant('gone'), floor: 1 }] }),
      file.save({ floors: [{ tenant: tenant('gone'), floor: null }] }),
    ]);
    const { share, term, floors: kept } = open().atStart;
    assert.deepEqual([share, term], [{ divisor: 3 }, 7]);
    assert.deepEqual([...kept], [['acme', { tenant: 'Acme', floor: 2 }]]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  it('forgets a line that was cut off, and all where one in the middle is damaged', async () => {
    await open().save({ share: { divisor: 3 }, term: 7 });
    await appendFile(path, '{"share":nul');
    assert.deepEqual(open().atStart.share, { divisor: 3 });
    await appendFile(path, '{"share":nul\n{"term":9}\n');
    const { share, term, life } = open().atStart;
    assert.deepEqual([share, term, life], [null, 7, 3]);
  });

  it('is written anew before its changes take more than 256 KiB', async () => {
    const file = open();
    const floors = Array.from({ length: 4_000 }, (_, index) => ({
      tenant: tenant(`tenant_${index}`),
      floor: 1,
    }));
    for (let round = 0; round < 6; round++) await file.save({ floors });
    const lines = (await readFile(path, 'utf8')).split('\n');
    assert.ok(lines.length < 6, `${lines.length} lines`);
    assert.equal(open().atStart.floors.size, 4_000);
  });

  it('saves what could not be saved with what comes next', async () => {
    const file = open();
    await rm(dir, { recursive: true });
    await assert.rejects(file.save({ term: 5 }), { code: 'ENOENT' });
    await mkdir(dir);
    await writeFile(path, '');
    await file.save({ share: { divisor: 2 } });
    const { term, share } = open().atStart;
    assert.deepEqual([term, share], [5, { divisor: 2 }]);
  });

  it('has been silent for too long where the clock was set back', async () => {
    await open().save({ heardAt: '2026-11-22T10:00:00.000Z' });
    assert.equal(open('kept', '2026-11-22T10:00:05.000Z').silentMs, 5_000);
    assert.equal(open('kept', '2026-11-20T10:00:00.000Z').silentMs, Infinity);
  });
});
