/** Transactions within transactions, on a real SQLite. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { Transactions } from './transactions.ts';

describe('Transactions', () => {
  let client: Database.Database;
  let transactions: Transactions;
  beforeEach(() => {
    client = new Database(':memory:');
    client.exec('CREATE TABLE kept (name TEXT)');
    transactions = new Transactions(client);
  });
  const insert = (name: string) => client.prepare('INSERT INTO kept VALUES (?)').run(name);
  const kept = () => client.prepare('SELECT name FROM kept').pluck().all();

  it('undo an inner one alone, and go on', () => {
    transactions.run(() => {
      insert('before');
      assert.throws(() =>
        transactions.run(() => {
          insert('inner');
          throw new Error('refused');
        }),
      );
      insert('after');
    });
    assert.deepEqual(kept(), ['before', 'after']);
    assert.equal(transactions.isInside, false);
  });

  it('undo all of an outermost one', () => {
    assert.throws(() =>
      transactions.run(() => {
        transactions.run(() => insert('inner'));
        throw new Error('refused');
      }),
    );
    assert.deepEqual(kept(), []);
  });

  it('keep nothing behind a failure after which SQLite has undone all of it', () => {
    const outermost = () =>
      transactions.run(() => {
        insert('before');
        // As SQLite does for a full disk.
        client.exec('ROLLBACK');
        transactions.run(() => insert('behind'));
      });
    assert.throws(outermost, { code: 'STORE_FAILED' });
    assert.deepEqual(kept(), []);
    transactions.run(() => insert('later'));
    assert.deepEqual(kept(), ['later']);
  });
});
