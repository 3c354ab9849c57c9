/** What a route says of a write: the work inside a transaction, and the answer it comes to. */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { WorkScope } from '../../commands/commands.ts';
import type { EventMeta } from '../../store/event.ts';
import type { Precondition } from '../preconditions.ts';

/** What the work of a write has at hand. */
export interface Write {
  readonly scope: WorkScope;
  readonly meta: EventMeta;
  readonly precondition: Precondition;
}

/** What a write has come to. */
export interface WriteAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON; null for none. */
  readonly body: object | null;
  /** What is kept and told again instead of `body`, where that holds what is told once. */
  readonly told?: object | undefined;
  /** What of `body` is told as it is at the time of the reply. */
  readonly now?: (() => object) | undefined;
  /** Whom it is about, where that is one tenant that is there afterwards. */
  readonly tenant?: TenantConfig | undefined;
  /** Proxies that applied it know of the write. */
  readonly position: Position;
}

/** Runs inside the transaction, perhaps not for good: it changes nothing but through `scope`. */
export type WriteWork = (write: Write) => WriteAnswer;
