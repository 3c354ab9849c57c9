/** Kept answers as a table; triggers count them, so that a limit costs no scan. */
import { timestampMs } from '@dbbouncer/shared/kernel/clock.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { and, asc, eq, inArray, lte, sql } from './drizzle.ts';
import { namingFailures } from './failures.ts';
import { bytesOf, KEPT_ANSWER_LIMITS, requireRoom, tooOldMs } from './kept-answers.ts';
import type { AnswerBook, KeptAnswer } from './kept-answers.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { keptAnswers, keptAnswerTotals } from './tables.ts';

const NOTHING_KEPT = Object.freeze({ answers: 0, bytes: 0 });

export class SqliteKeptAnswers implements AnswerBook {
  readonly #clock: Clock;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(database: SqliteDatabase, clock: Clock) {
    this.#clock = clock;
    this.#statements = prepareStatements(database);
  }

  find(actor: string, key: string): KeptAnswer | undefined {
    return namingFailures(() => {
      const row = this.#statements.find.get({ actor, key });
      if (row === undefined || row.keptAtMs <= tooOldMs(this.#nowMs())) return undefined;
      const { keptAtMs: _, bytes: __, headers, ...answer } = row;
      return { ...answer, headers: JSON.parse(headers) as KeptAnswer['headers'] };
    });
  }

  keep(answer: KeptAnswer): void {
    const { actor, key } = answer;
    namingFailures(() => {
      const nowMs = this.#nowMs();
      this.#statements.forget.run({ tooOld: tooOldMs(nowMs) });
      // One that is too old to be found may still be there.
      this.#statements.remove.run({ actor, key });
      const bytes = bytesOf(answer);
      requireRoom(answer, bytes, this.#statements.totals.get({ actor }) ?? NOTHING_KEPT);
      const headers = JSON.stringify(answer.headers);
      this.#statements.insert.run({ ...answer, headers, keptAtMs: nowMs, bytes });
    });
  }

  #nowMs(): number {
    return timestampMs(this.#clock.timestamp());
  }
}

function prepareStatements({ orm }: SqliteDatabase) {
  const given = sql.placeholder;
  const isOwn = and(eq(keptAnswers.actor, given('actor')), eq(keptAnswers.key, given('key')));
  const oldest = orm
    .select({ id: keptAnswers.id })
    .from(keptAnswers)
    .where(lte(keptAnswers.keptAtMs, given('tooOld')))
    .orderBy(asc(keptAnswers.keptAtMs))
    .limit(KEPT_ANSWER_LIMITS.forgottenAtOnce);
  return {
    find: orm
      .select({
        actor: keptAnswers.actor,
        key: keptAnswers.key,
        fingerprint: keptAnswers.fingerprint,
        status: keptAnswers.status,
        headers: keptAnswers.headers,
        body: keptAnswers.body,
        position: keptAnswers.position,
        keptAtMs: keptAnswers.keptAtMs,
        bytes: keptAnswers.bytes,
      })
      .from(keptAnswers)
      .where(isOwn)
      .prepare(),
    forget: orm.delete(keptAnswers).where(inArray(keptAnswers.id, oldest)).prepare(),
    remove: orm.delete(keptAnswers).where(isOwn).prepare(),
    totals: orm
      .select({ answers: keptAnswerTotals.answers, bytes: keptAnswerTotals.bytes })
      .from(keptAnswerTotals)
      .where(eq(keptAnswerTotals.actor, given('actor')))
      .prepare(),
    insert: orm
      .insert(keptAnswers)
      .values({
        actor: given('actor'),
        key: given('key'),
        fingerprint: given('fingerprint'),
        status: given('status'),
        headers: given('headers'),
        body: given('body'),
        position: given('position'),
        keptAtMs: given('keptAtMs'),
        bytes: given('bytes'),
      })
      .prepare(),
  };
}
