/**
 * Asks a database for its catalog facts, on a connection somebody lends.
 * Owns: the order of the questions and their bounds. Leaves: the connection, and when to ask, to
 * whoever calls.
 */
import { factsFrom, unknownFacts } from './catalog-facts.ts';
import type { CatalogFacts, FactRow } from './catalog-facts.ts';
import { COUNT_QUERY, FACTS_QUERY, RELATIONS_MAX, ROWS_MAX } from './catalog-query.ts';

/** More than the server takes for an answer, unless it does not answer any more. */
export const ANSWER_MAX_MS = 10_000;

/**
 * The facts as one snapshot of the database. The session is left as it was, whether this succeeds
 * or fails.
 * @param run runs a text as one simple Query and gives the rows of all its results; the server ends
 * it after 5 s.
 * @throws what `run` throws
 */
export async function loadCatalogFacts(
  run: (sql: string) => Promise<readonly FactRow[]>,
): Promise<CatalogFacts> {
  const count = Number((await run(COUNT_QUERY))[0]?.[0]);
  if (!(count <= RELATIONS_MAX)) return unknownFacts('too_many_relations');
  const rows = await run(FACTS_QUERY);
  return rows.length > ROWS_MAX ? unknownFacts('too_many_relations') : factsFrom(rows);
}
