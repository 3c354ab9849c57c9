/**
 * Read models made anew from all events while they are in use: folded in memory, a piece at a time,
 * and put in place of the old ones in one transaction at the end. Until then queries see the old
 * ones, and commands go on.
 */
import type Database from 'better-sqlite3';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { EventReader } from './event-store.ts';
import type { Project } from './read-models.ts';
import { ShadowReadModels } from './shadow-read-models.ts';
import type { Difference } from './shadow-read-models.ts';
import { createReadModels } from './sqlite-database.ts';
import { tableReader } from './table-reader.ts';

export interface Rebuilt {
  /** The last event they are of. */
  readonly position: Position;
  /** The first thing that was not what the events say; nothing when nothing was amiss. */
  readonly mended: Difference | undefined;
}

export interface RebuildPorts {
  readonly log: EventReader;
  readonly client: Database.Database;
  readonly project: Project;
  /** Told after each piece. */
  readonly onFolded: (upTo: Position) => void;
  /** Runs the last step in one transaction and notes that the read models are of `position`. */
  readonly commit: (replace: () => Rebuilt) => Rebuilt;
}

/** Events folded before others have their turn: a few milliseconds. */
const PIECE_EVENTS = 200;

/** @throws what the projection throws for an event it cannot read; STORE_*: nothing changed. */
export async function rebuildBeside({
  log,
  client,
  project,
  onFolded,
  commit,
}: RebuildPorts): Promise<Rebuilt> {
  const beside = new ShadowReadModels(project);
  const foldFrom = (after: Position, limit?: number): Position => {
    let position = after;
    for (const event of log.readAll(after, limit)) {
      beside.apply(event);
      ({ position } = event);
    }
    return position;
  };
  try {
    let position = 0;
    while (log.head() - position > PIECE_EVENTS) {
      position = foldFrom(position, PIECE_EVENTS);
      onFolded(position);
      await nextTurn();
    }
    return commit(() => {
      position = foldFrom(position);
      createReadModels(client);
      const mended = beside.differenceIn(tableReader(client));
      beside.replaceIn(client);
      return { position, mended };
    });
  } finally {
    beside.close();
  }
}
