/** Each measurement of the scale, small: it comes to its figures. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { lineOf } from './figures.ts';
import { SCALE_ROWS } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'dbbouncer-scale-'));
after(() => rmSync(folder, { recursive: true }));

const SMALL = { tenants: 220, events: 400, samples: 3, proxies: 3, folder };
/** The others start the same processes again. */
const SHOWN = ['replay', 'verify', 'swap-embedded'];

describe('the measurements of the scale', () => {
  for (const row of SCALE_ROWS.filter(({ key }) => SHOWN.includes(key))) {
    it(`${row.key} comes to figures that are numbers`, async () => {
      const figures = await row.measure(SMALL);
      assert.ok(figures.length > 0);
      for (const figure of figures) {
        assert.ok(Number.isFinite(figure.value) && figure.value >= 0, lineOf(figure));
      }
    });
  }

  it('say of each goal whether it is met', () => {
    const figure = { name: 'a', value: 10.04, unit: 's', goal: 10 } as const;
    assert.match(lineOf(figure), /^ {2}a +10\.0 s +goal: 10 s, missed$/);
    assert.match(lineOf({ ...figure, value: 9.9 }), /9\.9 s +goal: 10 s, met$/);
  });
});
