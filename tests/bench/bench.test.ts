/** `npm run bench`, in its shortest form: that it runs and compares, not what comes out. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';

const MAIN = join(import.meta.dirname, 'main.ts');
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dbb-bench-'));
});
after(() => rm(folder, { recursive: true, force: true }));

function bench(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [MAIN, ...args]);
}

interface Json {
  readonly results: readonly {
    readonly row: string;
    readonly ratio: number;
    readonly outcomes: readonly {
      readonly side: string;
      readonly failure?: string;
      readonly value: { readonly median: number };
      readonly serverConnections: number;
    }[];
  }[];
}

describe('npm run bench', () => {
  it('measures a row for DBBouncer, PgBouncer and direct, and writes it down', async () => {
    const [json, chart] = [join(folder, 'bench.json'), join(folder, 'bench.svg')];
    const short = [
      '--repeats',
      '1',
      '--seconds',
      '1',
      '--warm-up',
      '1',
      '--pool-sizes',
      '4',
      '--scale',
      '1',
    ];
    const { stdout } = await bench(
      '--rows',
      'simple-16',
      ...short,
      '--json',
      json,
      '--chart',
      chart,
    );
    assert.match(stdout, /tps, to PgBouncer's: [\d.]+ \(at least 1\.2; dream 1\.6\): \w+/);
    const { results } = JSON.parse(await readFile(json, 'utf8')) as Json;
    const [result] = results;
    assert.deepEqual(
      result?.outcomes.map(({ side }) => side),
      ['ours', 'theirs', 'direct'],
    );
    for (const { value, failure } of result.outcomes) {
      assert.equal(failure, undefined);
      assert.ok(value.median > 0);
    }
    for (const { side, serverConnections } of result.outcomes) {
      const most = side === 'theirs' ? 4 : 20;
      assert.ok(
        serverConnections >= 1 && serverConnections <= most,
        `${side}: ${serverConnections}`,
      );
    }
    assert.match(await readFile(chart, 'utf8'), /^<svg [^>]+>[\s\S]+<\/svg>\n$/);
  });

  it('names the rows there are when asked for another', async () => {
    await assert.rejects(bench('--rows', 'nonsense'), /there is no row "nonsense"; see --help/);
    assert.match((await bench('--help')).stdout, /simple-64, prepared-64/);
  });
});
