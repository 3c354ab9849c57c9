/**
 * A doubly linked list whose links live in its members: joining, leaving and moving cost a few
 * writes and no allocation. A member is in one chain at a time, so "which state is it in" and
 * "which list holds it" are one fact.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';

/** What a member carries for its chain; nobody but Chain writes it. */
export interface Linked<T extends Linked<T, Name>, Name extends string> {
  chain: Chain<T, Name> | undefined;
  previous: T | undefined;
  next: T | undefined;
}

export class Chain<T extends Linked<T, Name>, Name extends string> {
  readonly name: Name;
  #first: T | undefined;
  #last: T | undefined;
  #size = 0;

  constructor(name: Name) {
    this.name = name;
  }

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#first;
  }

  get last(): T | undefined {
    return this.#last;
  }

  /** Appends `member`, which must be in no chain. */
  push(member: T): void {
    this.insertAfter(this.#last, member);
  }

  /** Puts `member` behind `previous`; `undefined` means in front of all. */
  insertAfter(previous: T | undefined, member: T): void {
    assert(member.chain === undefined, 'a member joins one chain at a time');
    const next = previous === undefined ? this.#first : previous.next;
    member.chain = this;
    member.previous = previous;
    member.next = next;
    if (previous === undefined) this.#first = member;
    else previous.next = member;
    if (next === undefined) this.#last = member;
    else next.previous = member;
    this.#size += 1;
  }

  remove(member: T): void {
    assert(member.chain === this, 'a member leaves the chain it is in');
    const { previous, next } = member;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    member.chain = undefined;
    member.previous = undefined;
    member.next = undefined;
    this.#size -= 1;
  }

  /** From the first to the last; the member at hand may leave while it is visited. */
  *[Symbol.iterator](): Generator<T, void, void> {
    let member = this.#first;
    while (member !== undefined) {
      const { next } = member;
      yield member;
      member = next;
    }
  }
}
