/**
 * Whether an event log is as it was written, and what is kept of it is what its events say. Reads
 * only, and does not keep a control plane from writing meanwhile: what is written while it reads is
 * looked at as well.
 * Leaves: the copy on the bus to verify-published.ts.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { projectViews } from '../projections/tenant-views.ts';
import type { StoredEvent } from '../store/event.ts';
import { ChainWalk } from '../store/hash-chain.ts';
import type { FiledEvent, LogFile } from '../store/log-file.ts';
import { ShadowReadModels } from '../store/shadow-read-models.ts';
import type { Difference } from '../store/shadow-read-models.ts';

export type Verdict =
  { readonly outcome: 'whole'; readonly position: Position; readonly hash: string } | Broken;

export interface Broken {
  readonly outcome: 'broken';
  /** As in `position 7` or `tenants "acme", data.host`. */
  readonly where: string;
  readonly reason: string;
}

/** Told after each event; `head` is the last one that was there at the beginning. */
export type OnProgress = (position: Position, head: Position) => void;

/** Says the first thing that is not as it was written. @throws STORE_BUSY, STORE_FAILED */
export function verifyLog(log: LogFile, onProgress: OnProgress = () => {}): Verdict {
  const beside = new ShadowReadModels(projectViews);
  try {
    const walk = new Walk(beside, log.head(), onProgress);
    // Most of a long log is read without holding up its writer's checkpoints, the rest at one
    // moment with the read models.
    const broken =
      walk.follow(log.readFiled(0, walk.head)) ??
      log.atOneMoment(
        () => walk.follow(log.readFiled(walk.position)) ?? compare(walk, log, beside),
      );
    return broken ?? { outcome: 'whole', position: walk.position, hash: walk.hash };
  } finally {
    beside.close();
  }
}

class Walk {
  readonly head: Position;
  readonly #chain = new ChainWalk();
  readonly #beside: ShadowReadModels;
  readonly #onProgress: OnProgress;

  constructor(beside: ShadowReadModels, head: Position, onProgress: OnProgress) {
    this.#beside = beside;
    this.head = head;
    this.#onProgress = onProgress;
  }

  get position(): Position {
    return this.#chain.position;
  }

  get hash(): string {
    return this.#chain.hash;
  }

  follow(events: Iterable<FiledEvent>): Broken | undefined {
    try {
      for (const { event, data } of events) {
        const reason = this.#chain.follow(event, data) ?? this.#fold(event);
        if (reason !== undefined) return brokenAt(event, this.#chain, reason);
        this.#onProgress(event.position, this.head);
      }
      return undefined;
    } catch (error) {
      return broken(`position ${this.#chain.next}`, `unreadable: ${messageOf(error)}`);
    }
  }

  #fold(event: StoredEvent): string | undefined {
    try {
      this.#beside.apply(event);
      return undefined;
    } catch {
      // What a schema has to say about it may quote what is in it.
      return `is no event this version can read (${event.type})`;
    }
  }
}

function brokenAt(event: StoredEvent, chain: ChainWalk, reason: string): Broken {
  // An event that is whole and cannot be read is behind the walk already.
  const position = chain.position === event.position ? event.position : chain.next;
  return broken(`position ${position}`, reason);
}

/**
 * What the chain alone cannot show: an end that is missing, what is kept beside it, and what keeps
 * both as they are.
 */
function compare(walk: Walk, log: LogFile, beside: ShadowReadModels): Broken | undefined {
  const next = `position ${walk.position + 1}`;
  const strays = log.strayEvents();
  if (strays > 0) return broken(next, `missing: ${strays} events lie before the first position`);
  const of = log.readModelsPosition();
  if (of > walk.position) return broken(next, `missing: the read models are of position ${of}`);
  if (of < walk.position) {
    return broken(`position ${of + 1}`, `is not in the read models, which are of position ${of}`);
  }
  const difference = beside.differenceIn(log.tables());
  if (difference !== undefined) return broken(placeOf(difference), difference.reason);
  const writer = log.writerProblem();
  if (writer !== undefined) return broken('table writer', writer);
  const schema = log.schemaDifference();
  return schema && broken(schema.what, schema.reason);
}

function placeOf({ table, row, field }: Difference): string {
  const place = row === undefined ? `table ${table}` : `${table} "${row}"`;
  return field === undefined ? place : `${place}, ${field}`;
}

function broken(where: string, reason: string): Broken {
  return { outcome: 'broken', where, reason };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
