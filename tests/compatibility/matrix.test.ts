/**
 * docs/compatibility.md says of the suites what the tests beside this file hold to be true.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { DOCUMENT, asExpected, matrix } from './matrix.ts';
import { ORDINARY_WORK } from './suite.ts';
import type { Suite } from './suite.ts';
import { SUITES } from './suites/all.ts';

describe('docs/compatibility.md', () => {
  it('is what npm run compatibility writes when every case ends as expected', () => {
    const written = readFileSync(DOCUMENT, 'utf8');
    const known = SUITES.map((suite) => withVersionsOf(suite, written));
    assert.equal(matrix(known, asExpected), written, 'npm run compatibility writes it anew');
  });

  it('expects failures of cases that exist, and says why', () => {
    for (const suite of SUITES) {
      for (const [name, reasons] of Object.entries(suite.expectedFailures ?? {})) {
        assert.ok(name in suite.cases, `${suite.name} has a case "${name}"`);
        for (const reason of Object.values(reasons)) assert.ok(reason.length > 20, reason);
      }
    }
  });

  it('has of each suite a case of every kind of ordinary work, 5 different ones', () => {
    assert.equal(new Set(SUITES.map(({ id }) => id)).size, SUITES.length);
    for (const { cases, name, ordinary } of SUITES) {
      const named = ORDINARY_WORK.map((kind) => ordinary[kind]);
      assert.equal(new Set(named).size, ORDINARY_WORK.length, name);
      for (const one of named) assert.ok(one in cases, `${name} has a case "${one}"`);
    }
  });

  it('is linked by README.md', () => {
    const readme = readFileSync(join(dirname(dirname(DOCUMENT)), 'README.md'), 'utf8');
    assert.match(readme, /\]\(docs\/compatibility\.md\)/);
  });
});

/** What a system package brings has whichever version it had where the document was written. */
function withVersionsOf(suite: Suite, written: string): Suite {
  if (suite.missing === undefined) return suite;
  const row = written.split('\n').find((line) => line.startsWith(`| ${suite.name} |`));
  const versions = row?.split(' | ')[1] ?? 'no row';
  assert.match(versions, /\d/, `${suite.name} stands with its versions`);
  return { ...suite, versions: () => versions };
}
