/** What is remembered is bounded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecentMap } from './recent-map.ts';

describe('RecentMap', () => {
  it('gives up the entry that was unused for longest for the 4th of 3', () => {
    const map = new RecentMap<number>(3);
    for (const [key, value] of [
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ] as const)
      map.set(key, value);
    assert.equal(map.get('a'), 1);
    map.set('d', 4);
    assert.equal(map.size, 3);
    assert.equal(map.get('b'), undefined);
    assert.deepEqual([map.get('a'), map.get('c'), map.get('d')], [1, 3, 4]);
  });

  it('replaces an entry without giving up another', () => {
    const map = new RecentMap<number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 3);
    assert.deepEqual([map.get('a'), map.get('b')], [3, 2]);
  });
});
