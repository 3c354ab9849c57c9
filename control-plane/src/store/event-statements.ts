/** The statements on events and checkpoints, prepared once: preparing costs more than running. */
import { compiledChange, compiledSelection } from './compiled.ts';
import { and, asc, eq, gt, max, sql } from './drizzle.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { checkpoints, events, excluded, replica, writer } from './tables.ts';

export type EventStatements = ReturnType<typeof prepareEventStatements>;

export function prepareEventStatements({ client, orm }: Pick<SqliteDatabase, 'client' | 'orm'>) {
  const given = sql.placeholder;
  const inStream = eq(events.stream, given('stream'));
  return {
    epoch: orm.select({ epoch: writer.epoch }).from(writer).prepare(),
    saveEpoch: orm
      .update(writer)
      .set({ epoch: sql`${given('epoch')}` })
      .prepare(),
    ...preparePlaceStatements({ client, orm }),
    head: orm
      .select({ position: events.position, hash: events.hash })
      .from(events)
      .orderBy(sql`${events.position} desc`)
      .limit(1)
      .prepare(),
    page: compiledSelection(
      client,
      orm
        .select()
        .from(events)
        .where(gt(events.position, given('position')))
        .orderBy(asc(events.position))
        .limit(given('page')),
    ),
    streamPage: orm
      .select()
      .from(events)
      .where(and(inStream, gt(events.streamVersion, given('version'))))
      .orderBy(asc(events.streamVersion))
      .limit(given('page'))
      .prepare(),
    streamVersion: compiledSelection(
      client,
      orm
        .select({ version: max(events.streamVersion) })
        .from(events)
        .where(inStream),
    ),
    insert: compiledChange(
      client,
      orm.insert(events).values({
        position: given('position'),
        stream: given('stream'),
        streamVersion: given('streamVersion'),
        type: given('type'),
        data: given('data'),
        actor: given('actor'),
        reason: given('reason'),
        requestId: given('requestId'),
        occurredAt: given('occurredAt'),
        epoch: given('epoch'),
        prevHash: given('prevHash'),
        hash: given('hash'),
      }),
    ),
    checkpoint: orm
      .select()
      .from(checkpoints)
      .where(eq(checkpoints.name, given('name')))
      .prepare(),
    saveCheckpoint: compiledChange(
      client,
      orm
        .insert(checkpoints)
        .values({ name: given('name'), position: given('position') })
        .onConflictDoUpdate({ target: checkpoints.name, set: excluded(checkpoints) }),
    ),
  };
}

/** Where the log and the event stream are the same. */
function preparePlaceStatements({ client, orm }: Pick<SqliteDatabase, 'client' | 'orm'>) {
  const given = sql.placeholder;
  return {
    place: orm
      .select({
        createdAt: replica.createdAt,
        firstSequence: replica.firstSequence,
        sequence: replica.sequence,
      })
      .from(replica)
      .prepare(),
    savePlace: compiledChange(
      client,
      orm
        .insert(replica)
        .values({
          id: 1,
          createdAt: given('createdAt'),
          firstSequence: given('firstSequence'),
          sequence: given('sequence'),
        })
        .onConflictDoUpdate({ target: replica.id, set: excluded(replica) }),
    ),
    forgetPlace: orm.delete(replica).prepare(),
  };
}
