/** Effects of a transaction, compared with what a server does with the same statements. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from '../../wire/postgres/message-types.ts';
import type { Statement } from './sql/statement.ts';
import { TransactionEffects } from './transaction-effects.ts';

/** Runs a script such as "a SAVEPOINT:s b ROLLBACK_TO:s"; small letters are effects. */
function run(script: string) {
  const committed: string[][] = [];
  const effects = new TransactionEffects<string>((all) => committed.push([...all]));
  for (const step of script.split(' ')) perform(effects, step);
  return { committed, effects };
}

const STATUS = { I: TRANSACTION_IDLE, T: TRANSACTION_OPEN, E: TRANSACTION_FAILED } as const;

function perform(effects: TransactionEffects<string>, step: string): void {
  const [word = '', name = ''] = step.split(':');
  switch (word) {
    case 'READY':
      return effects.ready(STATUS[name as keyof typeof STATUS]);
    case 'ERROR':
      return effects.failed();
    case 'SAVEPOINT':
    case 'RELEASE':
    case 'ROLLBACK_TO':
      return effects.executed({ kind: word.toLowerCase(), name } as Statement);
    case 'COMMIT':
    case 'ROLLBACK':
      return effects.executed({ kind: word.toLowerCase(), chain: 'no_chain' } as Statement);
    default:
      return effects.add(word);
  }
}

describe('TransactionEffects', () => {
  const cases: readonly (readonly [script: string, committed: string, why: string])[] = [
    ['a READY:I', 'a', 'a statement of its own commits with its ReadyForQuery'],
    ['a ERROR READY:I', '', 'a later error of the same batch undoes it'],
    ['a READY:T COMMIT READY:I', 'a', 'COMMIT makes it happen'],
    ['a READY:T ROLLBACK READY:I', '', 'ROLLBACK undoes it'],
    ['a READY:T ERROR READY:E COMMIT READY:I', '', 'COMMIT of a failed transaction rolls back'],
    ['a READY:T ERROR READY:I', '', 'a COMMIT that fails rolls back'],
    ['a COMMIT ERROR READY:I', 'a', 'an error behind COMMIT in one text does not undo it'],
    ['a READY:T b READY:T COMMIT READY:I', 'a b', 'effects keep their order'],
    ['a SAVEPOINT:s b ROLLBACK_TO:s COMMIT', 'a', 'ROLLBACK TO undoes what is behind'],
    ['a SAVEPOINT:s b ROLLBACK_TO:s c COMMIT', 'a c', 'the savepoint is still there'],
    ['a SAVEPOINT:s b ROLLBACK_TO:s c ROLLBACK_TO:s COMMIT', 'a', 'and can be gone back to again'],
    ['a SAVEPOINT:s b RELEASE:s COMMIT', 'a b', 'RELEASE keeps the effects'],
    ['a SAVEPOINT:s b SAVEPOINT:s c ROLLBACK_TO:s COMMIT', 'a b', 'the latest of a name counts'],
    ['a SAVEPOINT:s b SAVEPOINT:s c RELEASE:s ROLLBACK_TO:s COMMIT', 'a', 'then the one before'],
    ['SAVEPOINT:s a ROLLBACK_TO:s COMMIT', '', 'a savepoint in front of everything undoes all'],
    ['a SAVEPOINT:s b ERROR READY:E ROLLBACK_TO:s READY:T COMMIT', 'a', 'ROLLBACK TO heals'],
    ['a COMMIT b ROLLBACK c READY:I', 'a|c', 'several transactions in one text'],
  ];
  for (const [script, committed, why] of cases) {
    it(`${script}: ${why}`, () => {
      const { committed: seen, effects } = run(script);
      assert.equal(seen.map((each) => each.join(' ')).join('|'), committed);
      assert.equal(effects.isEmpty, true);
    });
  }

  it('keeps no savepoint while there is no effect', () => {
    assert.equal(run('SAVEPOINT:a SAVEPOINT:b SAVEPOINT:c').effects.size, 0);
  });

  it('agrees with a stack of copies on any nesting of savepoints', () => {
    const step = fc.oneof(
      fc.constantFrom('x', 'y', 'z'),
      fc.tuple(fc.constantFrom('SAVEPOINT', 'RELEASE', 'ROLLBACK_TO'), fc.constantFrom('s', 't')),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const naive = new CopyingTransaction();
        const script = steps.flatMap((each) => {
          if (typeof each === 'string') return naive.effect(each);
          const [word, name] = each;
          return naive.statement(word, name) ? [`${word}:${name}`] : [];
        });
        const { committed } = run([...script, 'COMMIT'].join(' '));
        assert.deepEqual(committed.flat(), naive.effects);
      }),
    );
  });
});

/** A transaction that copies everything at each savepoint; the server refuses unknown names. */
class CopyingTransaction {
  effects: string[] = [];
  #stack: { readonly name: string; readonly effects: readonly string[] }[] = [];

  effect(effect: string): string[] {
    this.effects.push(effect);
    return [effect];
  }

  statement(word: string, name: string): boolean {
    if (word === 'SAVEPOINT') {
      this.#stack.push({ name, effects: [...this.effects] });
      return true;
    }
    const at = this.#stack.findLastIndex((savepoint) => savepoint.name === name);
    const savepoint = this.#stack[at];
    if (savepoint === undefined) return false;
    this.#stack.length = word === 'RELEASE' ? at : at + 1;
    if (word === 'ROLLBACK_TO') this.effects = [...savepoint.effects];
    return true;
  }
}
