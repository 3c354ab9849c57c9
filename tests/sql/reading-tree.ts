/**
 * Whether PostgreSQL's own parse tree of a text is that of one query which only reads, and which
 * names it calls. Written against the parse tree alone: a node that is not known here does not
 * read.
 * Source: libpg-query (PostgreSQL 18), src/include/nodes/parsenodes.h and primnodes.h.
 */
import { parseSync } from 'libpg-query';
import { attributeCallsIn } from './function-aliases.ts';

type Node = Readonly<Record<string, unknown>>;

export interface ReadingTree {
  /** Node types and fields that are no part of a query that only reads. */
  readonly strangers: readonly string[];
  /** With dots; spelled by the grammar or not, attributes that may be calls included. */
  readonly calls: readonly string[];
  readonly relations: readonly string[];
  readonly types: readonly string[];
  /** What stands behind the last dot of columns. */
  readonly attributes: readonly string[];
  /** Without their schemas. */
  readonly operators: readonly string[];
}

const READING = new Set(
  `SelectStmt ResTarget ColumnRef A_Star A_Const A_Expr A_ArrayExpr A_Indirection A_Indices
  BoolExpr BooleanTest NullTest TypeCast TypeName CollateClause CaseExpr CaseWhen CoalesceExpr
  MinMaxExpr SQLValueFunction RowExpr SubLink FuncCall NamedArgExpr String Integer Float Boolean
  BitString List RangeVar RangeSubselect RangeFunction RangeTableSample JoinExpr Alias SortBy
  WindowDef GroupingSet GroupingFunc CommonTableExpr CTECycleClause CTESearchClause WithClause
  ParamRef XmlExpr XmlSerialize SetToDefault`.split(/\s+/),
);

/** Fields of a SelectStmt that make more of it than a read. */
const NOT_READING = new Set(['intoClause', 'lockingClause']);

/** @throws what the parser throws for a syntax error. */
export function readingTreeOf(sql: string): ReadingTree {
  const { stmts = [] } = parseSync(`${sql} `.trimStart() || ';') as { stmts?: { stmt: Node }[] };
  const tree = new TreeWalk();
  const [first] = stmts;
  if (stmts.length !== 1 || first === undefined) tree.strangers.push(`${stmts.length} statements`);
  else tree.statement(first.stmt);
  return tree.read();
}

class TreeWalk {
  readonly strangers: string[] = [];
  readonly calls: string[] = [];
  readonly #relations: string[] = [];
  readonly #types: string[] = [];
  readonly #operators: string[] = [];
  readonly #attributes: string[] = [];
  /** Of every name, whatever its scope; a plain name refers to one of them or to a relation. */
  readonly #ctes = new Set<string>();

  read(): ReadingTree {
    const { strangers, calls } = this;
    const relations = this.#relations.filter((name) => !this.#ctes.has(name));
    return {
      strangers,
      calls,
      relations,
      types: this.#types,
      operators: this.#operators,
      attributes: this.#attributes,
    };
  }

  #column(fields: readonly Node[]): void {
    const last = fields.at(-1);
    if (fields.length > 1 && last !== undefined && 'String' in last) {
      this.#attributes.push(dotted([last]));
    }
  }

  #operator(name: unknown): void {
    if (!Array.isArray(name)) return;
    this.#operators.push(dotted(name.slice(-1)));
    if (name.length > 1 && dotted(name.slice(0, 1)) !== 'pg_catalog') this.calls.push(dotted(name));
  }

  statement(stmt: Node): void {
    if (!('SelectStmt' in stmt)) this.strangers.push(Object.keys(stmt).join());
    this.#walk(stmt);
    this.calls.push(...attributeCallsIn(stmt));
  }

  #walk(value: unknown): void {
    if (Array.isArray(value)) for (const item of value) this.#walk(item);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    for (const [key, inner] of Object.entries(value)) {
      // Only functions that return any record take one, and none of those is known to read.
      if (key === 'coldeflist') continue;
      // Types of nodes are capitalised, fields are not.
      if (/^[A-Z]/.test(key) && !READING.has(key)) this.strangers.push(key);
      if (NOT_READING.has(key)) this.strangers.push(key);
      this.#note(key, inner as Node);
      this.#walk(inner);
    }
  }

  #note(key: string, node: Node): void {
    switch (key) {
      case 'ColumnRef':
        this.#column(node['fields'] as Node[]);
        return;
      case 'A_Expr':
        this.#operator(node['name']);
        return;
      case 'SubLink':
        this.#operator(node['operName']);
        return;
      case 'SortBy':
        this.#operator(node['useOp']);
        return;
      case 'FuncCall':
        this.calls.push(dotted(node['funcname']));
        return;
      case 'RangeTableSample':
        this.calls.push(dotted(node['method']));
        return;
      case 'typeName':
      case 'TypeName':
        this.#types.push(dotted(node['names']));
        return;
      case 'A_Indirection':
        for (const step of node['indirection'] as Node[]) {
          if ('String' in step) this.calls.push(dotted([step]));
        }
        return;
      case 'RangeVar':
      case 'relation':
        if (typeof node['relname'] === 'string') this.#relations.push(relationName(node));
        return;
      case 'CommonTableExpr':
        this.#ctes.add(node['ctename'] as string);
        return;
      default:
    }
  }
}

function relationName(node: Node): string {
  return [node['catalogname'], node['schemaname'], node['relname']].filter(Boolean).join('.');
}

function dotted(parts: unknown): string {
  return (parts as { String: { sval: string } }[]).map((part) => part.String.sval).join('.');
}
