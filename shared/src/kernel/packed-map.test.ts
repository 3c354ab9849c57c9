/** PackedMap against a plain Map, and what it promises of the objects it hands out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PackedMap } from './packed-map.ts';

interface Value {
  readonly n: number;
  readonly tags?: readonly string[];
}

const keys = fc.constantFrom('a', 'b', 'c', 'constructor', '__proto__');
const values = fc.oneof(
  fc.integer({ min: 0, max: 2 }).map((n): Value => ({ n })),
  fc.array(fc.string(), { maxLength: 2 }).map((tags): Value => ({ n: 1, tags })),
);
const changes = fc.array(fc.tuple(keys, fc.option(values, { nil: undefined })), { maxLength: 6 });
const history = fc.array(changes, { maxLength: 8 });

function plainAfter(before: ReadonlyMap<string, Value>, list: readonly [string, Value?][]) {
  const after = new Map(before);
  for (const [key, value] of list) {
    if (value === undefined) after.delete(key);
    else after.set(key, value);
  }
  return after;
}

/** As another thread would read it: all of it is base, and nothing is kept. */
function rebased(map: PackedMap<Value>): PackedMap<Value> {
  return PackedMap.fromParts<Value>(structuredClone(map.toParts()));
}

const sorted = (map: Iterable<readonly [string, Value]>) =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));

describe('PackedMap', () => {
  it('holds what a Map would after any changes, and no later change touches it', () => {
    fc.assert(
      fc.property(history, fc.boolean(), fc.nat({ max: 8 }), (lists, looksBetween, rebasedAt) => {
        let map = PackedMap.empty<Value>();
        let plain: ReadonlyMap<string, Value> = new Map();
        const versions: (readonly [PackedMap<Value>, ReadonlyMap<string, Value>])[] = [];
        for (const list of lists) {
          map = map.with(list);
          if (versions.length === rebasedAt) map = rebased(map);
          plain = plainAfter(plain, list as [string, Value?][]);
          if (looksBetween) for (const key of plain.keys()) map.get(key);
          versions.push([map, plain]);
        }
        for (const [packed, expected] of versions) {
          assert.equal(packed.size, expected.size);
          assert.deepEqual(sorted(packed), sorted(expected));
          assert.deepEqual([...packed.values()].length, expected.size);
          const pieces = Array.from(packed.pieces(2, ','), (piece) => `[${piece.toString()}]`);
          const written = pieces.flatMap((piece) => JSON.parse(piece) as Value[]);
          assert.deepEqual(written, [...packed.values()]);
          const posted = PackedMap.fromParts<Value>(structuredClone(packed.toParts()));
          assert.deepEqual([...posted], [...packed]);
          for (const key of ['a', 'b', 'c', 'constructor', '__proto__', 'absent']) {
            assert.deepEqual(packed.get(key), expected.get(key));
            assert.equal(packed.has(key), expected.has(key));
          }
        }
      }),
    );
  });

  it('names as changed the keys whose value is another one, between any two', () => {
    fc.assert(
      fc.property(changes, changes, fc.boolean(), (first, second, onBase) => {
        const made = PackedMap.empty<Value>().with(first);
        const before = onBase ? rebased(made) : made;
        const after = before.with(second);
        const apart = PackedMap.empty<Value>().with(sorted(after));
        const expected = ['a', 'b', 'c', 'constructor', '__proto__'].filter(
          (key) => JSON.stringify(before.get(key)) !== JSON.stringify(after.get(key)),
        );
        assert.deepEqual([...after.changedKeys(before)].sort(), expected.toSorted());
        assert.deepEqual([...apart.changedKeys(before)].sort(), expected.toSorted());
        assert.deepEqual([...apart.changedKeys(after)], []);
        assert.deepEqual([...rebased(after).changedKeys(after)], []);
      }),
    );
  });

  for (const [what, make] of [
    ['changes', (map: PackedMap<Value>) => map],
    ['a base', rebased],
  ] as const) {
    it(`made of ${what} hands out one frozen object while its value is the same`, () => {
      keepsObjects(make);
    });
  }

  function keepsObjects(make: (map: PackedMap<Value>) => PackedMap<Value>): void {
    const made = PackedMap.from<Value>([
      ['a', { n: 1 }],
      ['b', { n: 1 }],
    ]);
    const first = make(made);
    const a = first.get('a');
    assert.equal(first.get('a'), a);
    assert.ok(Object.isFrozen(a));
    const next = first.with([
      ['a', { n: 1 }],
      ['b', { n: 2 }],
    ]);
    assert.equal(next.get('a'), a);
    assert.notEqual(next.get('b'), first.get('b'));
    // Asked of the later one first.
    const later = next.with([['c', { n: 1 }]]);
    assert.equal(later.get('b'), next.get('b'));
    assert.equal(first.with([['a', { n: 1 }]]), first);
  }

  it('shares the objects of another map that are the same, whoever made the text', () => {
    fc.assert(
      fc.property(changes, changes, (first, second) => {
        const known = rebased(PackedMap.empty<Value>().with(first));
        const kept = new Map(['a', 'b', 'c'].map((key) => [key, known.get(key)]));
        const read = rebased(known.with(second));
        const shared = read.sharing(known);
        assert.deepEqual(sorted(shared), sorted(read));
        for (const [key, value] of kept) {
          const isSame = JSON.stringify(value) === JSON.stringify(read.get(key));
          if (isSame) assert.equal(shared.get(key), value);
        }
      }),
    );
  });
});

describe('a map of 5,000 values that came together', () => {
  const name = (n: number) => `key-${n}`;
  const map = PackedMap.from(Array.from({ length: 5_000 }, (_, n) => [name(n), { n }] as const));

  it('finds each and no other', () => {
    assert.equal(map.size, 5_000);
    for (let n = 0; n < 5_000; n += 1) assert.deepEqual(map.look(name(n)), { n });
    for (const absent of ['', 'key-', 'key-5000', 'key-00']) {
      assert.equal(map.look(absent), undefined);
    }
  });

  it('is named by its changes alone when one is replaced, one removed and one new', () => {
    const next = map.with([
      [name(7), { n: -7 }],
      [name(8), undefined],
      ['new', { n: 0 }],
    ]);
    assert.deepEqual([...next.changedKeys(map)].sort(), [name(7), name(8), 'new']);
    assert.equal(next.size, 5_000);
    assert.equal([...next].length, 5_000);
    assert.deepEqual([...next.with([[name(8), { n: 8 }]]).changedKeys(map)].sort(), [
      name(7),
      'new',
    ]);
  });
});
