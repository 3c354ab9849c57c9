/**
 * The clients in line for a server connection, longest wait first, and those whose refusal is
 * decided but not told.
 * Owns: order and membership, and who of them knows why it waits. Leaves: deadlines to
 * pool-needs.ts, telling to refusals.ts and wait-notices.ts.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { Chain } from './chain.ts';
import type { Linked } from './chain.ts';

type Place = 'waiting' | 'decided';

/** Why a waiter got nothing: an error for its client, or its pool is gone and it must ask again. */
export type Verdict = AppError | 'moved';

export class Ticket<W> implements Linked<Ticket<W>, Place> {
  chain: Chain<Ticket<W>, Place> | undefined = undefined;
  previous: Ticket<W> | undefined = undefined;
  next: Ticket<W> | undefined = undefined;
  /** Absent while waiting. */
  verdict: Verdict | undefined = undefined;
  readonly waiter: W;
  readonly sinceMs: number;

  constructor(waiter: W, sinceMs: number) {
    this.waiter = waiter;
    this.sinceMs = sinceMs;
  }
}

export class WaitLine<W> {
  readonly #waiting = new Chain<Ticket<W>, Place>('waiting');
  readonly #decided = new Chain<Ticket<W>, Place>('decided');
  readonly #tickets = new Map<W, Ticket<W>>();
  /** The last who was told why it waits: all before it count as told. */
  #told: Ticket<W> | undefined;

  /** How many wait; decided ones do not count. */
  get size(): number {
    return this.#waiting.size;
  }

  /** The longest waiting. */
  get head(): Ticket<W> | undefined {
    return this.#waiting.first;
  }

  /** The longest waiting who has not been told why. */
  get nextUntold(): Ticket<W> | undefined {
    return this.#told === undefined ? this.#waiting.first : this.#told.next;
  }

  /** `nextUntold` is told now. */
  tell(): void {
    this.#told = this.nextUntold ?? this.#told;
  }

  /** Those who wait, longest first. */
  [Symbol.iterator](): Iterator<Ticket<W>, void, void> {
    return this.#waiting[Symbol.iterator]();
  }

  /** Joins behind everybody who came at `sinceMs` or before. A waiter stands in line once. */
  join(waiter: W, sinceMs: number): void {
    const ticket = this.#ticketFor(waiter, sinceMs);
    let before = this.#waiting.last;
    while (before !== undefined && before.sinceMs > sinceMs) before = before.previous;
    this.#waiting.insertAfter(before, ticket);
  }

  /** Takes a waiter who never gets in line. */
  turnAway(waiter: W, sinceMs: number, verdict: Verdict): void {
    const ticket = this.#ticketFor(waiter, sinceMs);
    ticket.verdict = verdict;
    this.#decided.push(ticket);
  }

  /** The longest waiting leaves to be served. */
  shift(): W | undefined {
    const ticket = this.#waiting.first;
    if (ticket === undefined) return undefined;
    this.#forget(ticket);
    return ticket.waiter;
  }

  /** The longest waiting leaves the line unserved and is told `verdict` later. */
  dismissHead(verdict: Verdict): void {
    const ticket = this.#waiting.first;
    assert(ticket !== undefined, 'somebody is in line');
    this.#leave(ticket);
    ticket.verdict = verdict;
    this.#decided.push(ticket);
  }

  /** The next waiter to tell its verdict; once taken, it can no longer be cancelled. */
  takeDecided(): { readonly ticket: Ticket<W>; readonly verdict: Verdict } | undefined {
    const ticket = this.#decided.first;
    if (ticket?.verdict === undefined) return undefined;
    this.#forget(ticket);
    return { ticket, verdict: ticket.verdict };
  }

  /**
   * The waiter will be told nothing more. Unknown waiters are ignored: their answer crossed the
   * cancel.
   */
  cancel(waiter: W): void {
    const ticket = this.#tickets.get(waiter);
    if (ticket !== undefined) this.#forget(ticket);
  }

  #ticketFor(waiter: W, sinceMs: number): Ticket<W> {
    assert(!this.#tickets.has(waiter), 'a waiter stands in line once');
    const ticket = new Ticket(waiter, sinceMs);
    this.#tickets.set(waiter, ticket);
    return ticket;
  }

  #forget(ticket: Ticket<W>): void {
    this.#leave(ticket);
    this.#tickets.delete(ticket.waiter);
  }

  #leave(ticket: Ticket<W>): void {
    if (this.#told === ticket) this.#told = ticket.previous;
    ticket.chain?.remove(ticket);
  }
}
