/** Which statements are kept for all clients, and what happens when there are too many. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { textEffects } from '../sql/effects.ts';
import { StatementCatalogue } from './statement-catalogue.ts';

const effects = textEffects('SELECT 1', { standardConformingStrings: true });
const prepare = (catalogue: StatementCatalogue, text: string, context = '') =>
  catalogue.acquire(Buffer.from(text), context, effects);
const roomy = { statementsMax: 100, bytesMax: 1_000 };

function refusal(act: () => unknown): AppError {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError) return error;
  }
  throw new Error('nothing was refused');
}

describe('StatementCatalogue', () => {
  it('is one statement for the same text, and another in another context', () => {
    const catalogue = new StatementCatalogue(() => roomy);
    assert.equal(prepare(catalogue, 'SELECT 1'), prepare(catalogue, 'SELECT 1'));
    assert.notEqual(prepare(catalogue, 'SELECT 1'), prepare(catalogue, 'SELECT 1', 'other path'));
    assert.equal(catalogue.size, 2);
  });

  it('forgets what nobody uses, the longest unused first, for a 3rd of 2', () => {
    const catalogue = new StatementCatalogue(() => ({ ...roomy, statementsMax: 2 }));
    const [first, second] = [prepare(catalogue, 'SELECT 1'), prepare(catalogue, 'SELECT 2')];
    catalogue.release(second);
    catalogue.release(first);
    prepare(catalogue, 'SELECT 3');
    assert.equal(prepare(catalogue, 'SELECT 1'), first);
  });

  it('keeps at most 100 while 10,000 different ones come and go', () => {
    const catalogue = new StatementCatalogue(() => ({ ...roomy, bytesMax: 1_000_000 }));
    for (let i = 0; i < 10_000; i++) {
      catalogue.release(prepare(catalogue, `SELECT ${i}`));
      assert.ok(catalogue.size <= 100);
    }
    assert.equal(catalogue.size, 100);
  });

  it('refuses the 3rd of 2 that are in use with 53400, both numbers and the setting', () => {
    let statementsMax = 2;
    const catalogue = new StatementCatalogue(() => ({ ...roomy, statementsMax }));
    for (const text of ['SELECT 1', 'SELECT 2']) prepare(catalogue, text);
    const error = refusal(() => prepare(catalogue, 'SELECT 3'));
    assert.equal(error.code, 'PREPARED_LIMIT');
    assert.match(error.message, /2 different statements.*\(2\)/);
    assert.match(error.hint ?? '', /max_distinct_prepared_statements/);
    statementsMax = 3;
    prepare(catalogue, 'SELECT 3');
    assert.equal(catalogue.size, 3);
  });

  it('refuses texts of more than 20 bytes together, and counts what it has forgotten', () => {
    const catalogue = new StatementCatalogue(() => ({ ...roomy, bytesMax: 20 }));
    const long = prepare(catalogue, 'SELECT 1000000');
    assert.match(refusal(() => prepare(catalogue, 'SELECT 2')).message, /14 bytes.*\(20 bytes\)/);
    catalogue.release(long);
    for (let i = 0; i < 10; i++) catalogue.release(prepare(catalogue, `SELECT ${i}`));
    assert.equal(catalogue.size, 2);
  });
});
