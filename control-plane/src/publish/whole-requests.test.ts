/** What is put into one delta: whole requests, as long as they fit. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StoredEvent } from '../store/event.ts';
import { firstHalf, wholeRequests } from './whole-requests.ts';

/** One event for each letter, of the request it names. */
function events(requests: string): readonly StoredEvent[] {
  return requests.split('').map((requestId) => ({ requestId }) as StoredEvent);
}

function told(chosen: readonly StoredEvent[]): string {
  return chosen.map(({ requestId }) => requestId).join('');
}

describe('wholeRequests', () => {
  for (const [requests, max, expected] of [
    ['abc', 5, 'abc'],
    ['aabbb', 5, 'aabbb'],
    ['aabbbc', 5, 'aabbb'],
    ['aabbbb', 5, 'aa'],
    ['abcdee', 5, 'abcd'],
    ['aaaaaa', 5, 'aaaaa'],
  ] as const) {
    it(`takes ${expected} of ${requests} when ${max} fit`, () => {
      assert.equal(told(wholeRequests(events(requests), max)), expected);
    });
  }
});

describe('firstHalf', () => {
  for (const [requests, expected] of [
    ['ab', 'a'],
    ['abcd', 'ab'],
    ['abbc', 'a'],
    ['aaab', 'aaa'],
    ['aabb', 'aa'],
    ['aaaa', 'aa'],
    ['aaa', 'aa'],
  ] as const) {
    it(`takes ${expected} of ${requests}`, () => {
      assert.equal(told(firstHalf(events(requests))), expected);
    });
  }
});
