/** Which replies a server owes, message by message, in all the ways the protocol can turn. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BACKEND } from '../../wire/postgres/message-types.ts';
import {
  BIND,
  COPY_END,
  DESCRIBE,
  EXECUTE,
  FUNCTION_CALL,
  Outstanding,
  PARSE,
  QUERY,
  SYNC,
} from './outstanding.ts';
import type { RequestKind } from './outstanding.ts';

/** Sends and replies in one line: `>` before a request, the manual's letter for a reply. */
function play(script: string): { outstanding: Outstanding; owners: (string | undefined)[] } {
  const outstanding = new Outstanding();
  const owners: (string | undefined)[] = [];
  for (const step of script.split(' ')) {
    const kind = REQUESTS[step];
    if (kind !== undefined) outstanding.sent(kind, step.endsWith('!') ? 'proxy' : 'client');
    else owners.push(outstanding.replied(step.charCodeAt(0)));
  }
  return { outstanding, owners };
}

const REQUESTS: Readonly<Record<string, RequestKind>> = {
  '>P': PARSE,
  '>P!': PARSE,
  '>B': BIND,
  '>D': DESCRIBE,
  '>E': EXECUTE,
  '>S': SYNC,
  '>Q': QUERY,
  '>Q!': QUERY,
  '>F': FUNCTION_CALL,
  '>c': COPY_END,
};

describe('Outstanding', () => {
  it('is quiet again after the ReadyForQuery of a simple query, not before', () => {
    assert.equal(play('>Q T D D C').outstanding.quiet, false);
    assert.equal(play('>Q T D D C Z').outstanding.quiet, true);
  });

  it('waits for one ReadyForQuery for each of three pipelined Syncs', () => {
    const batch = '>P >B >D >E >S';
    const replies = '1 2 T D C Z';
    const script = `${batch} ${batch} ${batch} ${replies} ${replies}`;
    assert.equal(play(script).outstanding.quiet, false);
    assert.equal(play(`${script} ${replies}`).outstanding.quiet, true);
  });

  it('is not quiet between a Flush and the Sync, though every message is answered', () => {
    const { outstanding } = play('>P >B >E 1 2 C');
    assert.equal(outstanding.length, 0);
    assert.equal(outstanding.quiet, false);
    assert.equal(outstanding.needsSync, true);
  });

  it('expects no replies of the messages that a server skips after an error', () => {
    assert.equal(play('>P >B >E >S E Z').outstanding.quiet, true);
    assert.equal(play('>P >B >E E >P >B >S Z').outstanding.quiet, true);
    assert.equal(play('>P E >Q >S Z').outstanding.quiet, true);
  });

  it('keeps the batches behind the Sync of the one that failed', () => {
    const { outstanding, owners } = play('>P >B >E >S >P >B >E >S E Z 1 2 C Z');
    assert.equal(outstanding.quiet, true);
    assert.deepEqual(new Set(owners), new Set(['client']));
  });

  it('pops Describe at NoData and at RowDescription, Execute at each of its three ends', () => {
    for (const end of ['C', 'I', 's']) {
      assert.equal(play(`>P >D >B >D >E >S 1 t n 2 T ${end} Z`).outstanding.quiet, true);
    }
  });

  it('tells replies to own messages from those to the client', () => {
    const { owners } = play('>P! >B >E >S 1 2 C Z');
    assert.deepEqual(owners, ['proxy', 'client', 'client', 'client']);
    assert.deepEqual(play('>Q! >Q T D C Z T D C Z').owners, [
      'proxy',
      'proxy',
      'proxy',
      'proxy',
      'client',
      'client',
      'client',
      'client',
    ]);
  });

  it('knows no owner for a reply that nobody asked for', () => {
    assert.deepEqual(play('Z').owners, [undefined]);
    assert.deepEqual(play('>Q C Z C').owners.at(-1), undefined);
  });

  it('ends a function call at its ReadyForQuery', () => {
    assert.equal(play('>F V').outstanding.quiet, false);
    assert.equal(play('>F V Z').outstanding.quiet, true);
  });

  it('counts no Sync that the server reads in COPY, and the one behind CopyDone', () => {
    const { outstanding } = play('>P >B >E >S 1 2 G');
    assert.equal(outstanding.inCopyIn, true);
    assert.equal(play('>P >B >E >S 1 2 G >c >S C').outstanding.quiet, false);
    const done = play('>P >B >E >S 1 2 G >c >S C Z').outstanding;
    assert.equal(done.quiet, true);
    assert.equal(done.uncertain, false);
  });

  it('counts the Sync behind CopyDone when all of it was sent before CopyInResponse came', () => {
    assert.equal(play('>P >B >E >c >S 1 2 G C Z').outstanding.quiet, true);
  });

  it('accepts the ReadyForQuery of a COPY that failed before the server read its Sync', () => {
    const { outstanding } = play('>P >B >E >S 1 2 G E Z');
    assert.equal(outstanding.quiet, true);
    assert.equal(outstanding.uncertain, true);
  });

  it('is uncertain when COPY fails behind an ignored Sync: one more ReadyForQuery may come', () => {
    const { outstanding, owners } = play('>P >B >E >S 1 2 G >c >S E Z Z');
    assert.equal(outstanding.uncertain, true);
    assert.equal(owners.at(-1), 'client');
  });

  it('ends a COPY of the simple protocol at the one ReadyForQuery, done or failed', () => {
    assert.equal(play('>Q G >c C Z').outstanding.quiet, true);
    assert.equal(play('>Q G E Z').outstanding.quiet, true);
    assert.equal(play('>Q G E Z >c').outstanding.quiet, true);
  });

  it('keeps order when more than a thousand requests are outstanding', () => {
    const outstanding = new Outstanding();
    for (let i = 0; i < 1_500; i++) {
      outstanding.sent(PARSE, i % 3 === 0 ? 'proxy' : 'client');
      outstanding.sent(BIND);
    }
    outstanding.sent(SYNC);
    for (let i = 0; i < 1_500; i++) {
      const owner = outstanding.replied(BACKEND.ParseComplete);
      assert.equal(owner, i % 3 === 0 ? 'proxy' : 'client');
      assert.equal(outstanding.replied(BACKEND.BindComplete), 'client');
    }
    assert.equal(outstanding.replied(BACKEND.ReadyForQuery), 'client');
    assert.equal(outstanding.quiet, true);
  });
});
