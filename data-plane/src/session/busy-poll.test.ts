/** When the proxy looks for bytes without sleeping, and when it leaves that. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { BusyPoll } from './busy-poll.ts';

const LIMIT_MS = 0.1;
/** Of one batch after the other, until it is calm enough. */
const CALM_BATCHES = 8;

let nowMs: number;
let due: (() => void)[];
let poll: BusyPoll;

beforeEach(() => {
  nowMs = 0;
  due = [];
  poll = polling(LIMIT_MS);
});

function polling(limitMs: number): BusyPoll {
  return new BusyPoll({
    limitMs,
    nowMs: () => nowMs,
    inNextTurn: (look) => void due.push(look),
  });
}

/** @returns whether the event loop was kept from sleeping */
function turn(): boolean {
  const looks = due;
  due = [];
  for (const look of looks) look();
  return looks.length > 0;
}

/** How many turns it looks, each of 10 us, until it gives up. */
function turnsAwake(): number {
  let turns = 0;
  while (turn()) {
    nowMs += 0.01;
    turns += 1;
  }
  return turns;
}

function calm(): void {
  for (let i = 0; i < CALM_BATCHES; i++) {
    poll.began(nowMs);
    poll.ended(nowMs);
  }
}

describe('BusyPoll', () => {
  it('looks for an answer for 100 us, after 8 batches of which each was alone', () => {
    calm();
    assert.equal(turnsAwake(), 0);
    poll.began(nowMs);
    assert.ok(turnsAwake() >= 10);
  });

  it('looks on as long as something comes within the limit', () => {
    calm();
    for (let i = 0; i < 50; i++) {
      poll.began(nowMs);
      nowMs += LIMIT_MS / 2;
      assert.ok(turn(), 'for the answer');
      poll.ended(nowMs);
      nowMs += LIMIT_MS / 2;
      assert.ok(turn(), 'for the next query');
    }
    assert.equal(due.length, 1);
  });

  it('does not look while 2 batches are under way, nor soon after', () => {
    calm();
    poll.began(nowMs);
    poll.began(nowMs);
    turn();
    assert.equal(turn(), false);
    poll.ended(nowMs);
    poll.ended(nowMs);
    assert.equal(turn(), false);
    calm();
    poll.began(nowMs);
    assert.equal(turn(), true);
  });

  it('leaves a client that thinks in peace: of 2,000 pauses it looks in 10', () => {
    calm();
    let looked = 0;
    for (let i = 0; i < 2_000; i++) {
      poll.began(nowMs);
      turn();
      poll.ended(nowMs);
      if (turnsAwake() > 1) looked += 1;
      nowMs += 5;
    }
    assert.equal(looked, 10);
  });

  it('goes on looking for answers that come soon, whatever its client does', () => {
    calm();
    for (let i = 0; i < 100; i++) {
      poll.began(nowMs);
      assert.ok(turn(), `batch ${i}`);
      poll.ended(nowMs);
      turnsAwake();
    }
  });

  it('counts a batch no more whose client is gone', () => {
    poll.began(nowMs);
    poll.abandoned();
    calm();
    calm();
    poll.began(nowMs);
    assert.equal(turn(), true);
  });

  it('never looks with a limit of 0', () => {
    poll = polling(0);
    calm();
    calm();
    poll.began(nowMs);
    assert.equal(turn(), false);
  });
});
