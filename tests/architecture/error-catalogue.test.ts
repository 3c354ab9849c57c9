/**
 * The error codes: each means one thing, is raised somewhere, reaches the client, is documented.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { CATALOGUES, ERROR_REFERENCE, errorReference, MAPS } from './error-reference.ts';
import { readSourceTree } from './source-tree.ts';

const codes = new Set(Object.values(CATALOGUES).flatMap((specs) => Object.keys(specs)));

describe('the error catalogues', () => {
  it('name codes in capitals and sum each up in one sentence', () => {
    for (const [file, specs] of Object.entries(CATALOGUES)) {
      for (const [code, { summary }] of Object.entries(specs)) {
        assert.match(code, /^[A-Z][A-Z_]+[A-Z]$/, file);
        assert.match(summary, /^[A-Z][^\n|]*\.$/, `${file}: ${code}`);
      }
    }
  });

  it('give a code that stands in several of them one meaning', () => {
    const meanings = new Map<string, Set<string>>();
    for (const specs of Object.values(CATALOGUES)) {
      for (const [code, { kind, retryable }] of Object.entries(specs)) {
        const known = meanings.get(code) ?? new Set();
        meanings.set(code, known.add(`${kind}, ${retryable ? 'retryable' : 'final'}`));
      }
    }
    const several = [...meanings].filter(([, known]) => known.size > 1);
    assert.deepEqual(several, []);
  });

  it('hold no code that nothing raises', () => {
    const listing = new Set([...Object.keys(CATALOGUES), ...Object.keys(MAPS)]);
    const raised = new Set<string>();
    for (const { path, code } of readSourceTree().filter(({ kind }) => kind === 'product')) {
      const use = listing.has(path) ? /\b(?:fail|super)\(\s*'([A-Z_]+)'/g : /'([A-Z_]+)'/g;
      for (const [, name = ''] of code.matchAll(use)) raised.add(name);
    }
    assert.deepEqual(
      [...codes].filter((code) => !raised.has(code)),
      [],
    );
  });

  it('hold every code that is told to the outside', () => {
    for (const [file, map] of Object.entries(MAPS)) {
      const unknown = Object.keys(map).filter((code) => !codes.has(code) && code !== 'INTERNAL');
      assert.deepEqual(unknown, [], file);
    }
  });
});

describe('ERRORS.md', () => {
  const written = readFileSync(ERROR_REFERENCE, 'utf8');

  it('holds every code', () => {
    assert.deepEqual(
      [...codes].filter((code) => !written.includes(`\`${code}\``)),
      [],
    );
  });

  it('holds no other code', () => {
    const named = [...written.matchAll(/^\|[^|]*\| `(\w+)`/gm)].map(([, code = '']) => code);
    assert.ok(named.length >= codes.size);
    assert.deepEqual(
      named.filter((code) => !codes.has(code)),
      [],
    );
  });

  it('is what the catalogues say', () => {
    const advice = 'run: node tests/architecture/write-error-reference.ts';
    assert.equal(written, errorReference(), advice);
  });
});
