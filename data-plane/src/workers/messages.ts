/**
 * What a supervisor and its workers say to each other, over the channel that Node opens between a
 * process and its child; it carries what structured clones carry.
 * Leaves: the bus on the same channel to shared/src/bus/ipc-frames.ts.
 */
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { FromBus, ToBus } from '@dbbouncer/shared/bus/ipc-frames.ts';
import type { MetricFamily } from '../telemetry/metric-values.ts';
import type { ProxyCondition, WorkerRole } from '../app.ts';

/** Why a worker is told to end. */
export type StopReason = 'shutdown' | 'replaced';

/** What a worker is born for. */
export interface WorkerTask {
  readonly settings: Settings;
  readonly version: string;
  readonly role: WorkerRole;
}

export type ToWorker =
  | { readonly kind: 'begin'; readonly task: WorkerTask }
  | { readonly kind: 'show_metrics' }
  | { readonly kind: 'stop'; readonly reason: StopReason }
  | { readonly kind: 'bus'; readonly frame: FromBus };

/** Why a worker could not start, in words for an operator. */
export interface StartFailure {
  readonly code: string | undefined;
  readonly message: string;
  readonly hint: string | undefined;
}

export type FromWorker =
  | { readonly kind: 'started'; readonly proxyId: ProxyId }
  | { readonly kind: 'failed'; readonly failure: StartFailure }
  /** A sign of life, with how it is: every BEAT_MS, from its event loop. */
  | { readonly kind: 'beat'; readonly condition: ProxyCondition }
  | { readonly kind: 'metrics'; readonly families: readonly MetricFamily[] }
  | { readonly kind: 'bus'; readonly frame: ToBus };

export const BEAT_MS = 1_000;
