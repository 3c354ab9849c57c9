/**
 * Calls that are under way to the process that has the bus, each with its deadline; a part of
 * ipc-bus.ts.
 */
import type { Clock, Timer } from '../kernel/clock.ts';
import type { AppError } from '../kernel/errors.ts';
import { sharedErrors } from '../errors.ts';
import { busUnavailable } from './bus-errors.ts';
import type { FromBus, IpcCall, ToBus } from './ipc-frames.ts';

/** How long the other process may take for what needs no answer of a third one. */
const CALL_TIMEOUT_MS = 10_000;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AppError) => void;
  readonly operation: string;
  readonly timer: Timer;
}

export interface IpcCallsOptions {
  readonly send: (frame: ToBus) => void;
  readonly clock: Clock;
}

export class IpcCalls {
  readonly #options: IpcCallsOptions;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #state: 'open' | 'closed' = 'open';

  constructor(options: IpcCallsOptions) {
    this.#options = options;
  }

  /** @param operation in the words of an error. @throws AppError of the other process, or ours */
  call(call: IpcCall, operation: string, withinMs: number = CALL_TIMEOUT_MS): Promise<unknown> {
    if (this.#state === 'closed') return Promise.reject(busUnavailable(operation, 'it is closed'));
    const id = (this.#lastId += 1);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = this.#options.clock.after(withinMs, () => {
      const reason = `no answer of the supervisor within ${withinMs} ms`;
      this.#settle(id)?.reject(busUnavailable(operation, reason));
    });
    this.#pending.set(id, { resolve, reject, operation, timer });
    this.#options.send({ op: 'call', id, call });
    return promise;
  }

  answered(frame: Extract<FromBus, { op: 'result' | 'failed' }>): void {
    const pending = this.#settle(frame.id);
    if (frame.op === 'result') pending?.resolve(frame.value);
    else pending?.reject(asError(frame));
  }

  /** What is under way fails, and what comes. */
  close(): void {
    this.#state = 'closed';
    for (const id of this.#pending.keys()) {
      const pending = this.#settle(id);
      pending?.reject(busUnavailable(pending.operation, 'it was closed'));
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.timer.cancel();
    return pending;
  }
}

/** The words are those of the other process, and name the operation already. */
function asError({ code, message }: Extract<FromBus, { op: 'failed' }>): AppError {
  const isKnown = (name: string): name is keyof typeof sharedErrors.specs =>
    Object.hasOwn(sharedErrors.specs, name);
  return sharedErrors.fail(isKnown(code) ? code : 'BUS_UNAVAILABLE', message);
}
