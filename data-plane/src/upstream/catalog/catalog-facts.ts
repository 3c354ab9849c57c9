/**
 * What a database's catalog says about texts that are clean only if what they mention is plain.
 * Owns: the facts and the judgement over them; both pure. In doubt nothing is harmless: that costs
 * a reset, never a leak.
 * Names are judged without the search path: an unqualified one counts when every relation of that
 * name in any schema allows what is asked. Leaves: asking the database to load-catalog.ts, what a
 * text mentions to the session.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';

/**
 * What is done to relations; each includes the ones before. `insert` also evaluates defaults of
 * columns.
 */
export type Access = 'read' | 'update' | 'insert';

export interface CatalogUse {
  readonly access: Access;
  /** Names as written, their parts unfolded from quotes, the object last. */
  readonly relations: readonly (readonly string[])[];
  readonly functions: readonly (readonly string[])[];
  /** Other than built-in ones. */
  readonly types: readonly (readonly string[])[];
  /** Those that the text shows. */
  readonly operators: readonly string[];
  /** What stands behind a dot, and may be a function of a row. */
  readonly attributes: readonly string[];
}

export interface KnownFacts {
  readonly kind: 'known';
  /** The most that a name allows, by nameKey(); a name that is missing allows nothing. */
  readonly relations: ReadonlyMap<string, Access>;
  /** Types of users whose values run no code of users, by nameKey(). */
  readonly plainTypes: ReadonlySet<string>;
  /** By which a text that means the server's may mean users'. */
  readonly inTheWay: NamesInTheWay;
  /** Why a name is not to be read beside other clients, by nameKey(). */
  readonly unshared: ReadonlyMap<string, RelationRefusal>;
}

export interface NamesInTheWay {
  readonly functions: ReadonlySet<string>;
  readonly operators: ReadonlySet<string>;
  /** Of functions of rows: what a subquery gives is taken for a row of any table. */
  readonly attributes: ReadonlySet<string>;
}

/** Not one of a session's own, or of the server's views, which may tell of the session. */
export type RelationRefusal = 'relation_not_plain' | 'row_level_security';

/** Why a query that reads may not run beside others of other clients. */
export type FactsRefusal =
  | RelationRefusal
  | 'unknown_relation'
  /** A type that is neither built in nor plain. */
  | 'type_not_plain'
  /** A function of users has the name of one that is called, or they have operators or casts. */
  | 'user_defined_in_the_way'
  | 'catalog_too_large';

export type UnknownReason =
  | 'too_many_relations'
  /** Users' objects that any text may use unseen. */
  | 'cast'
  | 'operator_class'
  | 'type_name'
  | 'function_of_grammar';

export type CatalogFacts =
  KnownFacts | { readonly kind: 'unknown'; readonly reason: UnknownReason };

/** Whether what `use` mentions runs no code that could leave something in the session. */
export function isHarmless(facts: CatalogFacts, use: CatalogUse): boolean {
  if (facts.kind === 'unknown') return false;
  return (
    use.relations.every((name) => allows(facts.relations.get(nameKey(name)), use.access)) &&
    use.types.every((name) => facts.plainTypes.has(nameKey(name))) &&
    !meansUsers(facts.inTheWay, use)
  );
}

/** IN, BETWEEN, CASE, USING … say none of these, and mean them. */
const IMPLIED_OPERATORS = ['=', '<>', '<', '<=', '>', '>='];

/** Functions are judged by their last name, qualified or not: it may be one made in pg_catalog. */
function meansUsers(
  inTheWay: NamesInTheWay,
  { functions, operators, attributes }: Omit<CatalogUse, 'access'>,
): boolean {
  return (
    functions.some((name) => inTheWay.functions.has(name.at(-1) ?? '')) ||
    IMPLIED_OPERATORS.some((name) => inTheWay.operators.has(name)) ||
    operators.some((name) => inTheWay.operators.has(name)) ||
    attributes.some((name) => inTheWay.attributes.has(name))
  );
}

/** What speaks against reading it beside other clients; nothing where it is harmless. */
export function readingRefusal(
  facts: CatalogFacts,
  use: Omit<CatalogUse, 'access'>,
): FactsRefusal | undefined {
  if (facts.kind === 'unknown') {
    return facts.reason === 'too_many_relations' ? 'catalog_too_large' : 'user_defined_in_the_way';
  }
  if (meansUsers(facts.inTheWay, use)) return 'user_defined_in_the_way';
  for (const name of use.relations) {
    const key = nameKey(name);
    const refusal = facts.unshared.get(key);
    if (refusal !== undefined) return refusal;
    if (!facts.relations.has(key)) return 'unknown_relation';
  }
  const arePlain = use.types.every((name) => facts.plainTypes.has(nameKey(name)));
  return arePlain ? undefined : 'type_not_plain';
}

/** No name holds a NUL. */
function nameKey(parts: readonly string[]): string {
  return parts.join('\0');
}

type Allowed = Access | 'nothing';

const RANK: Readonly<Record<Allowed, number>> = { nothing: 0, read: 1, update: 2, insert: 3 };

function allows(allowed: Allowed | undefined, asked: Access): boolean {
  return allowed !== undefined && RANK[allowed] >= RANK[asked];
}

// ---- from the rows of FACTS_QUERY ----

interface Relation {
  readonly schema: string;
  readonly name: string;
  allowed: Allowed;
  sharing: 'harmless' | RelationRefusal;
  readonly dependents: Dependent[];
}

/**
 * `relation` is only read unless the one it hangs on allows `needs`; `same`: it allows no more than
 * that; `over`: it is a view, and no more than read where that is.
 */
interface Dependent {
  readonly relation: Relation;
  readonly needs: Access | 'same' | 'over';
}

export type FactRow = readonly (string | null)[];

/** The facts in the rows of FACTS_QUERY, frozen. */
export function factsFrom(rows: readonly FactRow[]): CatalogFacts {
  const about = Map.groupBy(rows, ([kind]) => kind);
  const doubt = about.get('doubt')?.[0]?.[1];
  if (typeof doubt === 'string') return unknownFacts(doubt as UnknownReason);
  const relations = relationsFrom(about.get('relation') ?? []);
  for (const [, a, b] of about.get('same') ?? []) {
    link(relations.get(a ?? ''), relations.get(b ?? ''), 'same');
    link(relations.get(b ?? ''), relations.get(a ?? ''), 'same');
  }
  for (const [, referenced, referencing, needs] of about.get('reaches') ?? []) {
    link(relations.get(referencing ?? ''), relations.get(referenced ?? ''), needs as Access);
    link(relations.get(referenced ?? ''), relations.get(referencing ?? ''), 'read');
  }
  for (const [, oid, view] of about.get('over') ?? []) {
    const relation = relations.get(view ?? '');
    const on = relations.get(oid ?? '');
    if (on === undefined && relation !== undefined) relation.allowed = 'nothing';
    link(on, relation, 'over');
  }
  spread(relations.values());
  return Object.freeze({
    kind: 'known',
    relations: byName(relations.values()),
    unshared: unsharedByName(relations.values()),
    plainTypes: plainTypesFrom(about.get('type') ?? []),
    inTheWay: Object.freeze({
      functions: firstOf(about.get('function')),
      operators: firstOf(about.get('operator')),
      attributes: firstOf(about.get('attribute')),
    }),
  });
}

function firstOf(rows: readonly FactRow[] = []): ReadonlySet<string> {
  return new Set(rows.map(([, name]) => name ?? ''));
}

export function unknownFacts(reason: UnknownReason): CatalogFacts {
  return Object.freeze({ kind: 'unknown', reason });
}

function relationsFrom(rows: readonly FactRow[]): ReadonlyMap<string, Relation> {
  const relations = new Map<string, Relation>();
  for (const [, oid, schema, name, allowed, sharing] of rows) {
    const complete = typeof oid === 'string' && typeof schema === 'string';
    assert(complete && typeof name === 'string', 'a relation has an oid, a schema and a name');
    relations.set(oid, {
      schema,
      name,
      allowed: allowed as Allowed,
      sharing: sharing as Relation['sharing'],
      dependents: [],
    });
  }
  return relations;
}

function link(on: Relation | undefined, relation: Relation | undefined, needs: Dependent['needs']) {
  if (on !== undefined && relation !== undefined) on.dependents.push({ relation, needs });
}

/**
 * Lets every relation allow no more than those it hangs on let it. Each is lowered four times at
 * most.
 */
function spread(relations: Iterable<Relation>): void {
  const lowered = [...relations];
  for (let on = lowered.pop(); on !== undefined; on = lowered.pop()) {
    for (const { relation, needs } of on.dependents) {
      const most = mostBy(on, needs);
      const sharing = needs === 'over' && on.sharing !== 'harmless' ? on.sharing : 'harmless';
      const lessAllowed = RANK[most] < RANK[relation.allowed];
      const lessShared = relation.sharing === 'harmless' && sharing !== 'harmless';
      if (lessAllowed) relation.allowed = most;
      if (lessShared) relation.sharing = sharing;
      if (lessAllowed || lessShared) lowered.push(relation);
    }
  }
}

function mostBy({ allowed }: Relation, needs: Dependent['needs']): Allowed {
  if (needs === 'same') return allowed;
  if (needs === 'over') return allowed === 'nothing' ? 'nothing' : 'read';
  return allows(allowed, needs) ? 'insert' : 'read';
}

function byName(relations: Iterable<Relation>): ReadonlyMap<string, Access> {
  const least = new Map<string, Allowed>();
  for (const { schema, name, allowed } of relations) {
    for (const key of [name, nameKey([schema, name])]) {
      const known = least.get(key);
      if (known === undefined || RANK[allowed] < RANK[known]) least.set(key, allowed);
    }
  }
  const usable = [...least].filter((entry): entry is [string, Access] => entry[1] !== 'nothing');
  return new Map(usable);
}

function unsharedByName(relations: Iterable<Relation>): ReadonlyMap<string, RelationRefusal> {
  const unshared = new Map<string, RelationRefusal>();
  for (const { schema, name, allowed, sharing } of relations) {
    if (sharing === 'harmless' && allowed !== 'nothing') continue;
    const refusal = sharing === 'harmless' ? 'relation_not_plain' : sharing;
    unshared.set(name, refusal);
    unshared.set(nameKey([schema, name]), refusal);
  }
  return unshared;
}

function plainTypesFrom(rows: readonly FactRow[]): ReadonlySet<string> {
  const names = rows.map(([, schema, name]) => [schema ?? '', name ?? '']);
  return new Set(names.flatMap(([schema = '', name = '']) => [name, nameKey([schema, name])]));
}
