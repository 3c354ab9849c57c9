/**
 * Tells clients that have waited for `queryWaitNotifyMs` why, each once per pool it waits in.
 * Owns: who is told when, and the words. Leaves: the moment to pool-needs.ts, the form to session/.
 */
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Backend } from '../upstream/upstream.ts';
import type { PoolCore } from './pool-core.ts';
import type { PoolNeeds } from './pool-needs.ts';
import type { SlotCap } from './slot-cap.ts';
import { waitText, whyWaiting } from './wait-reason.ts';
import type { Waiter, WaitNotice } from './waiter.ts';

export interface WaitNoticesOptions<B extends Backend> {
  readonly tenant: string;
  readonly core: PoolCore<B, Waiter<B>>;
  readonly needs: PoolNeeds<B, Waiter<B>>;
  readonly cap: SlotCap;
  readonly log: Logger;
}

export class WaitNotices<B extends Backend> {
  readonly #options: WaitNoticesOptions<B>;

  constructor(options: WaitNoticesOptions<B>) {
    this.#options = options;
  }

  /** Waiters may cancel from within, or be told more: a client that fails touches nobody else. */
  tellDue(nowMs: number): void {
    const { core, needs, log } = this.#options;
    let notice: WaitNotice | undefined;
    while (needs.noticeMs <= nowMs) {
      const ticket = core.line.nextUntold;
      core.line.tell();
      notice ??= this.#notice();
      try {
        ticket?.waiter.stillWaiting?.(notice);
      } catch (error) {
        log.error({ error }, 'a client failed while it was told why it waits');
      }
    }
  }

  #notice(): WaitNotice {
    const { tenant, core, cap } = this.#options;
    const { acquireTimeoutMs, pauseWaitTimeoutMs, queryWaitNotifyMs } = core.settings;
    const reason = whyWaiting(core, cap);
    const failure = core.backoff.error?.message;
    return {
      reason,
      message:
        `tenant "${tenant}": no server connection for ${queryWaitNotifyMs} ms, still waiting;` +
        ` ${waitText(reason, core, cap)}`,
      detail:
        `reason: ${reason}; ${core.line.size} clients are in line` +
        (failure === undefined ? '' : `; the last attempt to connect failed: ${failure}`),
      hint:
        reason === 'paused'
          ? `The wait ends with pause_wait_timeout (${pauseWaitTimeoutMs} ms).`
          : `The wait ends with acquire_timeout (${acquireTimeoutMs} ms).`,
    };
  }
}
