/** FrozenMap against a plain Map, and what it promises beyond one: nothing shared ever changes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { FrozenMap } from './frozen-map.ts';

/** Few keys, so that entries meet; several of them in one shard only by chance. */
const key = fc.oneof(fc.constantFrom('a', 'b', 'acme', 'globex', ''), fc.string({ maxLength: 3 }));
const entries = fc.array(fc.tuple(key, fc.option(fc.nat(5), { nil: undefined })), {
  maxLength: 20,
});

type Batch = readonly (readonly [string, number | undefined])[];

function applyTo(model: ReadonlyMap<string, number>, batch: Batch): ReadonlyMap<string, number> {
  const next = new Map(model);
  for (const [k, value] of batch) {
    if (value === undefined) next.delete(k);
    else next.set(k, value);
  }
  return next;
}

const sorted = (map: Iterable<readonly [string, number]>) =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));

describe('FrozenMap', () => {
  it('holds what a Map holds after any batches, and every older version stays as it was', () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 8 }), (batches) => {
        let map = FrozenMap.empty<number>();
        let model: ReadonlyMap<string, number> = new Map();
        const versions: (readonly [FrozenMap<number>, ReadonlyMap<string, number>])[] = [];
        for (const batch of batches) {
          versions.push([map, model]);
          map = map.with(batch);
          model = applyTo(model, batch);
        }
        for (const [version, expected] of [...versions, [map, model] as const]) {
          assert.deepEqual(sorted(version), sorted(expected));
          assert.equal(version.size, expected.size);
          assert.deepEqual(
            [...version.values()],
            [...version].map(([, value]) => value),
          );
          for (const [k, value] of expected) {
            assert.equal(version.get(k), value);
            assert.ok(version.has(k));
          }
        }
      }),
    );
  });

  it('names exactly the keys whose value differs between two versions', () => {
    fc.assert(
      fc.property(entries, entries, (first, second) => {
        const before = FrozenMap.empty<number>().with(first);
        const after = before.with(second);
        const keys = new Set([...before, ...after].map(([k]) => k));
        const expected = [...keys].filter((k) => before.get(k) !== after.get(k)).sort();
        assert.deepEqual([...after.changedKeys(before)].sort(), expected);
        assert.deepEqual([...before.changedKeys(after)].sort(), expected);
      }),
    );
  });

  it('lets the last entry of a key win, also a removal', () => {
    const map = FrozenMap.from([
      ['a', 1],
      ['b', 1],
      ['a', 2],
    ]);
    assert.equal(map.get('a'), 2);
    assert.equal(map.size, 2);
    const next = map.with([
      ['a', 3],
      ['a', undefined],
      ['b', undefined],
      ['b', 4],
    ]);
    assert.deepEqual([...next], [['b', 4]]);
    assert.equal(next.size, 1);
  });

  it('is itself when there is nothing to change, and knows no key it was not given', () => {
    const map = FrozenMap.from([['a', 1]]);
    assert.equal(map.with([]), map);
    assert.equal(map.get('b'), undefined);
    assert.equal(map.has('b'), false);
    assert.equal(map.has('__proto__'), false);
    assert.equal(map.has('constructor'), false);
  });

  it('replaces one of 100,000 tenants', () => {
    const ids = Array.from({ length: 100_000 }, (_, n) => `tenant-${n}`);
    const map = FrozenMap.from(ids.map((id) => [id, { id }] as const));
    const next = map.with([['tenant-7', { id: 'other' }]]);
    assert.deepEqual([...next.changedKeys(map)], ['tenant-7']);
    assert.equal(next.size, 100_000);
    assert.equal(map.get('tenant-7')?.id, 'tenant-7');
  });
});
