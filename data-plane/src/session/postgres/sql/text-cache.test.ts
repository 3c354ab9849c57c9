/** What the cache keeps, and that it stays within its limits. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TextCache } from './text-cache.ts';

function countingCache(limits: ConstructorParameters<typeof TextCache>[0]) {
  const cache = new TextCache<object>(limits);
  const read: string[] = [];
  const get = (text: string): object =>
    cache.get(text, (fresh) => {
      read.push(fresh);
      return { fresh };
    });
  return { cache, get, read };
}

describe('TextCache', () => {
  it('reads a text once while it is used', () => {
    const { get, read } = countingCache({ entriesMax: 2, lengthMax: 100, textLengthMax: 10 });
    for (const text of ['a', 'b', 'a', 'c', 'a', 'd', 'a', 'e', 'a']) get(text);
    assert.deepEqual(read, ['a', 'b', 'c', 'd', 'e']);
  });

  it('forgets what was not asked for in a whole generation', () => {
    const { get, read } = countingCache({ entriesMax: 2, lengthMax: 100, textLengthMax: 10 });
    for (const text of ['a', 'b', 'c', 'd', 'e', 'a']) get(text);
    assert.deepEqual(read, ['a', 'b', 'c', 'd', 'e', 'a']);
  });

  it('holds at most 4 entries when a generation may have 2', () => {
    const { cache, get } = countingCache({ entriesMax: 2, lengthMax: 100, textLengthMax: 10 });
    for (let i = 0; i < 50; i++) {
      get(`t${i}`);
      assert.ok(cache.size <= 4, String(cache.size));
    }
  });

  it('begins a generation at 10 characters when it may have 10', () => {
    const { cache, get } = countingCache({ entriesMax: 100, lengthMax: 10, textLengthMax: 5 });
    for (let i = 10; i < 60; i++) {
      get(`abc${i}`);
      assert.ok(cache.size <= 4, String(cache.size));
    }
  });

  it('reads a text of 11 characters each time when 10 may be kept', () => {
    const { cache, get, read } = countingCache({ entriesMax: 9, lengthMax: 99, textLengthMax: 10 });
    get('x'.repeat(11));
    get('x'.repeat(11));
    assert.equal(read.length, 2);
    assert.equal(cache.size, 0);
  });
});
