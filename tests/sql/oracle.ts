/**
 * What PostgreSQL's own parser says of a text, in the words of data-plane's sql/: kinds of
 * statements, and the names in queries. Written against its parse tree alone.
 * Source: libpg-query (PostgreSQL 18), src/include/nodes/parsenodes.h.
 */
import { parseSync } from 'libpg-query';
import { attributeCallsIn } from './function-aliases.ts';

type Node = Readonly<Record<string, unknown>>;

export interface OracleStatement {
  readonly kind: string;
  readonly relations: readonly string[];
  readonly functions: readonly string[];
  readonly types: readonly string[];
}

/**
 * The statements of a text in order; none for one of blanks and comments.
 * @throws what the parser throws for a syntax error.
 */
export function parseWithPostgres(sql: string): readonly OracleStatement[] {
  // The module refuses an empty text before it is parsed.
  const { stmts = [] } = parseSync(`${sql} `.trimStart() || ';') as {
    stmts?: readonly { stmt: Node }[];
  };
  return stmts.map(({ stmt }) => ({ kind: kindOf(stmt), ...namesIn(stmt) }));
}

const TRANSACTION_KINDS: Readonly<Record<string, string>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollback_to',
  TRANS_STMT_PREPARE: 'prepare_transaction',
  TRANS_STMT_COMMIT_PREPARED: 'commit_prepared',
  TRANS_STMT_ROLLBACK_PREPARED: 'rollback_prepared',
};

const PLAIN_KINDS: Readonly<Record<string, string>> = {
  ConstraintsSetStmt: 'set_constraints',
  VariableShowStmt: 'show',
  DiscardStmt: 'discard',
  DeallocateStmt: 'deallocate',
  PrepareStmt: 'prepare',
  ExecuteStmt: 'execute',
  ListenStmt: 'listen',
  UnlistenStmt: 'unlisten',
  NotifyStmt: 'notify',
  DeclareCursorStmt: 'declare_cursor',
  ClosePortalStmt: 'close',
  LockStmt: 'lock_table',
  LoadStmt: 'load',
  DoStmt: 'do',
  CallStmt: 'call',
  CopyStmt: 'copy',
  ExplainStmt: 'explain',
  InsertStmt: 'write',
  UpdateStmt: 'write',
  DeleteStmt: 'write',
  MergeStmt: 'write',
  TruncateStmt: 'write',
  VacuumStmt: 'maintenance',
  ClusterStmt: 'maintenance',
  ReindexStmt: 'maintenance',
  RefreshMatViewStmt: 'maintenance',
  CheckPointStmt: 'maintenance',
};

function kindOf(stmt: Node): string {
  const [type, node] = Object.entries(stmt)[0] as [string, Node];
  const plain = PLAIN_KINDS[type];
  if (plain !== undefined) return plain;
  switch (type) {
    case 'TransactionStmt':
      return TRANSACTION_KINDS[node['kind'] as string] ?? type;
    case 'VariableSetStmt':
      return setKindOf(node);
    case 'FetchStmt':
      return node['ismove'] === true ? 'move' : 'fetch';
    case 'SelectStmt':
      return selectKindOf(node);
    case 'CreateTableAsStmt':
      return isTemporary((node['into'] as Node)['rel']) ? 'create_temp' : 'create_table_as';
    case 'CreateStmt':
      return isTemporary(node['relation']) ? 'create_temp' : 'ddl';
    case 'ViewStmt':
      return isTemporary(node['view']) ? 'create_temp' : 'ddl';
    case 'CreateSeqStmt':
      return isTemporary(node['sequence']) ? 'create_temp' : 'ddl';
    default:
      return 'ddl';
  }
}

function setKindOf(node: Node): string {
  const { kind, name } = node;
  if (kind === 'VAR_RESET_ALL') return 'reset_all';
  if (kind === 'VAR_RESET') return 'reset';
  if (kind === 'VAR_SET_MULTI' && name === 'TRANSACTION') return 'set_transaction';
  if (kind === 'VAR_SET_MULTI' && name === 'TRANSACTION SNAPSHOT') {
    return 'set_transaction_snapshot';
  }
  return 'set';
}

function selectKindOf(node: Node): string {
  if (some(node, (key) => WRITES.has(key))) return 'write';
  const into = first(node, 'intoClause');
  if (into !== undefined)
    return isTemporary((into as Node)['rel']) ? 'create_temp' : 'create_table_as';
  return some(node, (key) => key === 'lockingClause') ? 'locking_read' : 'read';
}

const WRITES: ReadonlySet<string> = new Set([
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
]);

function isTemporary(relation: unknown): boolean {
  const { relpersistence, schemaname } = relation as Node;
  return relpersistence === 't' || /^pg_temp(_\d+)?$/.test(String(schemaname));
}

function some(node: unknown, matches: (key: string) => boolean): boolean {
  if (Array.isArray(node)) return node.some((item) => some(item, matches));
  if (typeof node !== 'object' || node === null) return false;
  return Object.entries(node).some(([key, value]) => matches(key) || some(value, matches));
}

function first(node: unknown, wanted: string): unknown {
  if (Array.isArray(node)) return node.map((item) => first(item, wanted)).find((found) => found);
  if (typeof node !== 'object' || node === null) return undefined;
  const own = (node as Node)[wanted];
  return own ?? first(Object.values(node), wanted);
}

// ---- names ----

/** Only these run a query, or will once they are executed. */
const WITH_QUERIES: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'TruncateStmt',
  'CopyStmt',
  'CreateTableAsStmt',
  'DeclareCursorStmt',
]);

/** Makes a relation without reading it, or names one that is read elsewhere in the statement. */
const NOT_READ: ReadonlySet<string> = new Set(['into', 'intoClause', 'lockingClause']);

/** What LIKE … ESCAPE and SIMILAR TO become. */
const IMPLIED: ReadonlySet<string> = new Set([
  'pg_catalog.like_escape',
  'pg_catalog.similar_to_escape',
]);

class Names {
  readonly relations: string[] = [];
  readonly functions: string[] = [];
  readonly types: string[] = [];

  walk(node: unknown, ctes: ReadonlySet<string>): void {
    if (Array.isArray(node)) for (const item of node) this.walk(item, ctes);
    else if (typeof node === 'object' && node !== null) this.#object(node as Node, ctes);
  }

  #object(node: Node, outer: ReadonlySet<string>): void {
    this.#named(node, outer);
    const inner = this.#withClause(node['withClause'] as Node | undefined, outer);
    for (const [key, value] of Object.entries(node)) {
      if (NOT_READ.has(key) || key === 'withClause') continue;
      this.walk(value, inner);
    }
  }

  /** Each CTE sees those before it, or all of them when RECURSIVE. */
  #withClause(clause: Node | undefined, outer: ReadonlySet<string>): ReadonlySet<string> {
    if (clause === undefined) return outer;
    const ctes = (clause['ctes'] as readonly { CommonTableExpr: Node }[]).map(
      ({ CommonTableExpr }) => CommonTableExpr,
    );
    const names = ctes.map((cte) => cte['ctename'] as string);
    const visible = new Set(clause['recursive'] === true ? [...outer, ...names] : outer);
    for (const cte of ctes) {
      this.walk(cte, new Set(visible));
      visible.add(cte['ctename'] as string);
    }
    return visible;
  }

  #named(node: Node, ctes: ReadonlySet<string>): void {
    if (typeof node['relname'] === 'string') {
      const qualified = [node['catalogname'], node['schemaname'], node['relname']].filter(Boolean);
      const hidden = qualified.length === 1 && ctes.has(node['relname']);
      if (!hidden) this.relations.push(qualified.join('.'));
    }
    if (Array.isArray(node['funcname']) && node['funcformat'] !== 'COERCE_SQL_SYNTAX') {
      const name = joined(node['funcname']);
      if (!IMPLIED.has(name)) this.functions.push(name);
    }
    for (const operator of [node['name'], node['operName'], node['useOp']]) {
      if (isElsewhere(operator)) this.functions.push(joined(operator));
    }
    const attributes = node['A_Indirection'] as Node | undefined;
    // `(x).f` is also f(x).
    if (attributes !== undefined) this.functions.push(...attributesOf(attributes));
    const sample = node['RangeTableSample'] as Node | undefined;
    if (sample !== undefined) this.functions.push(joined(sample['method'] as unknown[]));
    const typeName = node['typeName'] as Node | undefined;
    if (typeName !== undefined) this.types.push(joined(typeName['names'] as unknown[]));
  }
}

/** An operator that is written with a schema is looked for in that alone. */
function isElsewhere(operator: unknown): operator is readonly unknown[] {
  return (
    Array.isArray(operator) && operator.length > 1 && !joined(operator).startsWith('pg_catalog.')
  );
}

function attributesOf(node: Node): string[] {
  const steps = node['indirection'] as { String?: { sval: string } }[];
  return steps.flatMap(({ String: name }) => (name === undefined ? [] : [name.sval]));
}

function joined(parts: readonly unknown[]): string {
  return parts.map((part) => (part as { String: { sval: string } }).String.sval).join('.');
}

function namesIn(stmt: Node): Omit<OracleStatement, 'kind'> {
  const names = new Names();
  const [type, node] = Object.entries(stmt)[0] as [string, Node];
  if (type === 'ExplainStmt' || type === 'PrepareStmt') return namesIn(node['query'] as Node);
  if (!WITH_QUERIES.has(type)) return names;
  names.walk(stmt, new Set());
  names.functions.push(...attributeCallsIn(stmt));
  return names;
}
