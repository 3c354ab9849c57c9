/**
 * Tails of the event log: requests that are answered with every event as it is appended, until the
 * reader goes, is too slow, or the control plane stops.
 * Owns: how many there are, how long a reader may take, how a tail ends. Leaves: the form of the
 * stream to @fastify/sse. Source: WHATWG HTML, "Server-sent events".
 *
 * A tail holds a position, not events: it reads on when the reader has taken what was sent. So
 * nobody misses an event or reads one twice, and a slow reader costs no memory.
 */
import type { FastifyReply } from 'fastify';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { Signal } from '@dbbouncer/shared/kernel/signal.ts';
import { controlErrors } from '../errors.ts';
import type { History } from '../history/history.ts';
import { Pace } from '../history/pace.ts';
import type { EventFilter } from '../store/event-query.ts';
import type { StoredEvent } from '../store/event.ts';
import { apiErrors } from './api-errors.ts';
import { toEventAnswer } from './event-answers.ts';
import { toProblem } from './problem.ts';

export const TAIL_LIMITS = Object.freeze({
  /** Tails at a time; the next is refused with TAILS_EXHAUSTED. */
  openMax: 100,
  /** Of these with one API key, so that none takes the tails of all others. */
  openOfKeyMax: 20,
  /** Without any event, a comment is sent so often: proxies in between cut what is silent. */
  keepAliveMs: 15_000,
  /** How long a reader may leave what was sent to it untaken. */
  stallMs: 30_000,
});

const CHUNK_EVENTS = 100;
/** For the last words of a tail to be taken; then its connection is cut. */
const LAST_WORDS_MS = 1_000;
/** What readers are asked to wait before they come again. */
const RETRY_MS = 1_000;

export interface TailPorts {
  readonly history: History;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface TailQuery {
  /** Whose API key it is, as events name it. */
  readonly actor: string;
  readonly filter: EventFilter;
  /** Asked before events are read, and now and then; what it throws ends the tail. */
  readonly mayGoOn: () => Promise<void>;
}

export class EventTails {
  readonly #ports: TailPorts;
  readonly #open = new Set<Tail>();
  #phase: 'open' | 'closing' = 'open';

  constructor(ports: TailPorts) {
    this.#ports = ports;
  }

  /**
   * Resolves when the tail is over and has said why.
   * @throws TAILS_EXHAUSTED, NOT_READY: nothing was sent.
   */
  async follow(reply: FastifyReply, after: Position, query: TailQuery): Promise<void> {
    if (this.#phase === 'closing') throw stopping();
    this.#requirePlace(query.actor);
    const tail = new Tail(reply, this.#ports, query.actor);
    this.#open.add(tail);
    try {
      await tail.follow(after, query);
    } finally {
      this.#open.delete(tail);
    }
  }

  #requirePlace(actor: string): void {
    const { openMax, openOfKeyMax } = TAIL_LIMITS;
    const hint = 'End one, or read GET /events page by page.';
    const full = (open: number, whose: string, max: number) =>
      controlErrors.fail(
        'TAILS_EXHAUSTED',
        `${open} tails of the event log are open${whose}; at most ${max} may be.`,
        { hint },
      );
    if (this.#open.size >= openMax) throw full(this.#open.size, '', openMax);
    let own = 0;
    for (const tail of this.#open) own += tail.actor === actor ? 1 : 0;
    if (own >= openOfKeyMax) throw full(own, ' with this API key', openOfKeyMax);
  }

  /** Ends every tail; each reader is told. */
  close(): void {
    this.#phase = 'closing';
    for (const tail of this.#open) tail.end(stopping());
  }
}

function stopping(): AppError {
  return apiErrors.fail('NOT_READY', 'The control plane is stopping.', {
    hint: 'Go on from the last id when it is back.',
  });
}

class Tail {
  readonly actor: string;
  readonly #reply: FastifyReply;
  readonly #ports: TailPorts;
  /** There may be more to send, or the tail is over. */
  readonly #wake = new Signal();
  readonly #gone = new Signal();
  #state: 'following' | 'ended' = 'following';

  constructor(reply: FastifyReply, ports: TailPorts, actor: string) {
    this.actor = actor;
    this.#reply = reply;
    this.#ports = ports;
  }

  async follow(after: Position, { filter, mayGoOn }: TailQuery): Promise<void> {
    const { history } = this.#ports;
    const unsubscribe = history.subscribe(() => this.#wake.raise());
    this.#reply.sse.onClose(() => {
      this.#wake.raise();
      this.#gone.raise();
    });
    this.#greet(after);
    const pace = new Pace();
    let position = after;
    try {
      while (this.#isFollowing()) {
        await mayGoOn();
        const { events, reached } = history.eventsAfter(position, filter, CHUNK_EVENTS);
        await this.#sendAll(events);
        position = reached;
        await (position < history.head() ? pace.rest() : this.#untilMore());
      }
    } catch (error) {
      // The head of the answer is out: a refusal is the last event.
      const requestId = this.#reply.request.id;
      this.#ports.log.warn({ error, requestId }, 'a tail of the event log was ended');
      this.end(error);
    } finally {
      unsubscribe();
    }
  }

  /** Says why and ends the answer; a reader that does not take that is cut off. */
  end(reason: unknown): void {
    if (!this.#isFollowing()) return;
    this.#state = 'ended';
    const { raw, request } = this.#reply;
    const problem = JSON.stringify(toProblem(reason, request.id));
    raw.end(`event: end\ndata: ${problem}\n\n`);
    const cut = this.#ports.clock.after(LAST_WORDS_MS, () => raw.destroy());
    raw.once('close', () => cut.cancel());
    this.#wake.raise();
  }

  /** Or until it has to be asked again whether it may go on: a silent tail takes a place, too. */
  async #untilMore(): Promise<void> {
    const { clock } = this.#ports;
    const timer = clock.after(TAIL_LIMITS.keepAliveMs, () => this.#wake.raise());
    await this.#wake.raised();
    timer.cancel();
  }

  /** The head of the answer goes out at once, also when there is nothing to tell yet. */
  #greet(after: Position): void {
    this.#reply.sse.sendHeaders();
    this.#reply.raw.write(`: events after position ${after}\nretry: ${RETRY_MS}\n\n`);
  }

  async #sendAll(events: readonly StoredEvent[]): Promise<void> {
    for (const event of events) {
      if (!this.#isFollowing()) return;
      const message = { id: String(event.position), data: toEventAnswer(event) };
      const taken = this.#reply.sse.send(message);
      if (this.#reply.raw.writableNeedDrain) await this.#untilTaken(taken, event.position);
      else await taken;
    }
  }

  async #untilTaken(taken: Promise<void>, position: Position): Promise<void> {
    let timer: Timer | undefined;
    const stalled = new Promise<void>((resolve) => {
      timer = this.#ports.clock.after(TAIL_LIMITS.stallMs, () => {
        this.end(this.#tooSlow(position));
        resolve();
      });
    });
    await Promise.race([taken, stalled, this.#gone.raised()]);
    timer?.cancel();
  }

  #tooSlow(position: Position): AppError {
    const bytes = this.#reply.raw.writableLength;
    const behind = this.#ports.history.head() - position + 1;
    return controlErrors.fail(
      'TAIL_TOO_SLOW',
      `${bytes} bytes were not taken within ${TAIL_LIMITS.stallMs} ms, and ${behind} positions of` +
        ' the log are behind them; what is sent must be taken within that time.',
      { hint: 'Come again with the last id that was read as Last-Event-ID.' },
    );
  }

  #isFollowing(): boolean {
    return this.#state === 'following' && this.#reply.sse.isConnected;
  }
}
