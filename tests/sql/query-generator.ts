/**
 * Random queries in which any word may be a name that the grammar allows there: functions called "over", columns called
 * "join", CTEs called "recursive". Most are valid; the parser that they are held against tells which.
 */
import { KEYWORDS } from '@dbbouncer/data-plane/session/postgres/sql/keywords.ts';
import type { KeywordClass } from '@dbbouncer/data-plane/session/postgres/sql/keywords.ts';

/** Depth of nested queries and expressions. */
const DEPTH_MAX = 4;

export function generateQuery(seed: number): string {
  return new Generator(seed).statement();
}

function words(...classes: readonly KeywordClass[]): string[] {
  return [...KEYWORDS].filter(([, type]) => classes.includes(type)).map(([word]) => word);
}

const COLUMNS = words('unreserved', 'column_name');
const FUNCTIONS = words('unreserved', 'function_or_type');
const LABELS = words('unreserved', 'column_name', 'function_or_type', 'reserved');
const OPERATORS = [
  '+',
  '=',
  '<>',
  '||',
  '->>',
  'AND',
  'OR',
  'LIKE',
  'IS DISTINCT FROM',
  '::text =',
  'OPERATOR(s.+)',
  'OPERATOR(+)',
];

class Generator {
  #state: number;
  #depth = 0;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** mulberry32 */
  #below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  }

  #one<T>(items: readonly T[]): T {
    return items[this.#below(items.length)] as T;
  }

  #maybe(percent: number, text: () => string): string {
    return this.#below(100) < percent ? text() : '';
  }

  #list(max: number, item: () => string): string {
    return Array.from({ length: 1 + this.#below(max) }, item).join(', ');
  }

  #nested(make: () => string, leaf: () => string): string {
    if (this.#depth >= DEPTH_MAX) return leaf();
    this.#depth++;
    const text = make();
    this.#depth--;
    return text;
  }

  // ---- names ----

  #column(): string {
    return this.#one([
      this.#one(COLUMNS),
      `c${this.#below(5)}`,
      '"quoted"',
      `t.${this.#one(LABELS)}`,
    ]);
  }

  #alias(): string {
    return this.#one([this.#one(COLUMNS), `x${this.#below(5)}`, '"Al"']);
  }

  #function(): string {
    const plain = this.#one(FUNCTIONS);
    return this.#one([plain, plain, `fn${this.#below(5)}`, `"${plain}"`, `s.${this.#one(LABELS)}`]);
  }

  #relation(): string {
    return this.#one([
      `r${this.#below(9)}`,
      `s.r${this.#below(9)}`,
      this.#one(COLUMNS),
      `"${this.#one(LABELS)}"`,
    ]);
  }

  #type(): string {
    return this.#one([
      'int',
      'numeric(10, 2)',
      'text[]',
      'my_type',
      's.my_type',
      'character varying(3)',
      'timestamp with time zone',
      '"Domain"',
    ]);
  }

  // ---- expressions ----

  #call(): string {
    return this.#nested(
      () => {
        const args = this.#one([
          '',
          '*',
          this.#list(2, () => this.#expression()),
          `DISTINCT ${this.#expression()}`,
        ]);
        const filter = this.#maybe(10, () => ` FILTER (WHERE ${this.#expression()})`);
        const over = this.#maybe(
          15,
          () =>
            ` OVER (${this.#maybe(50, () => `PARTITION BY (${this.#expression()})`)} ORDER BY ${this.#expression()})`,
        );
        const within = this.#maybe(5, () => ` WITHIN GROUP (ORDER BY ${this.#expression()})`);
        return `${this.#function()}(${args})${within}${filter}${over}`;
      },
      () => `${this.#function()}()`,
    );
  }

  #expression(): string {
    return this.#nested(
      () =>
        this.#one([
          () => this.#column(),
          () => this.#call(),
          () => this.#call(),
          () => `${this.#primary()} ${this.#one(OPERATORS)} ${this.#primary()}`,
          () =>
            `CASE WHEN ${this.#expression()} THEN ${this.#expression()} ELSE ${this.#call()} END`,
          () => `CAST(${this.#expression()} AS ${this.#type()})`,
          () => `${this.#primary()}::${this.#type()}`,
          () => `EXTRACT(year FROM ${this.#expression()})`,
          () => `SUBSTRING(${this.#expression()} FROM 1 FOR 2)`,
          () => `TRIM(BOTH 'x' FROM ${this.#expression()})`,
          () => `COALESCE(${this.#list(2, () => this.#expression())})`,
          () => `(${this.#select()})`,
          () => `EXISTS (${this.#query()})`,
          () => `${this.#primary()} IN (${this.#query()})`,
          () => `ARRAY[${this.#list(2, () => this.#expression())}]`,
          () => `ROW(${this.#expression()}, 1)`,
          () => `${this.#primary()} AT TIME ZONE ${this.#primary()}`,
          () => `${this.#one(['my_type', 'date', 's.d'])} 'lit;eral'`,
          () => `interval '1' day`,
        ])(),
      () => this.#column(),
    );
  }

  #primary(): string {
    return this.#one([
      () => this.#column(),
      () => this.#call(),
      () => `(${this.#expression()})`,
      () => '$1',
      () => `'text'`,
      () => '1.5',
    ])();
  }

  // ---- queries ----

  #from(): string {
    return ` FROM ${this.#list(3, () => this.#tableItem())}`;
  }

  #tableItem(): string {
    const item = this.#nested(
      () =>
        this.#one([
          () => this.#table(),
          () => `${this.#table()} ${this.#join()}`,
          () => `(${this.#table()} ${this.#join()}) ${this.#join()}`,
          () => `(${this.#query()}) AS ${this.#alias()}${this.#maybe(30, () => ' (ca, cb)')}`,
          () => `(${this.#query()}) sub (ca)`,
          () => `LATERAL ${this.#call()} AS ${this.#alias()}(ca)`,
          () => `${this.#function()}(1)${this.#maybe(50, () => ' WITH ORDINALITY')} fa (ca)`,
          () => `ROWS FROM (${this.#function()}(1), ${this.#function()}(2)) AS rf`,
        ])(),
      () => this.#table(),
    );
    return item;
  }

  #table(): string {
    const only = this.#maybe(10, () => 'ONLY ');
    return `${only}${this.#relation()}${this.#one(['', ` AS ${this.#alias()}`, ' ta', ' tb (ca)'])}`;
  }

  #join(): string {
    const type = this.#one(['JOIN', 'LEFT JOIN', 'INNER JOIN', 'FULL OUTER JOIN']);
    const right = this.#one([
      () => this.#table(),
      () => `(${this.#query()}) jq`,
      () =>
        `(${this.#table()} ${this.#nested(
          () => this.#join(),
          () => 'CROSS JOIN r0',
        )})`,
      () => `${this.#function()}(1) jf`,
    ])();
    return `${type} ${right} ${this.#one([() => 'USING (ca, cb)', () => `ON ${this.#expression()}`])()}`;
  }

  #with(): string {
    const recursive = this.#maybe(30, () => 'RECURSIVE ');
    const cte = (): string => {
      const columns = this.#maybe(30, () => ' (ca, cb)');
      const materialized = this.#one(['', ' MATERIALIZED', ' NOT MATERIALIZED']);
      const name = this.#one(['r1', 'r2', this.#one(COLUMNS)]);
      const body = this.#below(8) === 0 ? this.#write() : this.#query();
      const cycle = this.#maybe(10, () => ' CYCLE ca, cb SET cyc USING pth');
      return `${name}${columns} AS${materialized} (${body})${cycle}`;
    };
    return `WITH ${recursive}${this.#list(2, cte)} `;
  }

  #select(): string {
    const distinct = this.#one(['', '', ' DISTINCT', ` DISTINCT ON (${this.#column()})`]);
    const target = (): string =>
      `${this.#expression()}${this.#maybe(40, () => `${this.#one([' AS', ''])} ${this.#one(LABELS)}`)}`;
    const into =
      this.#depth === 0
        ? this.#maybe(
            8,
            () => ` INTO ${this.#one(['', 'TEMP ', 'TABLE ', 'TEMPORARY TABLE ', 'UNLOGGED '])}tgt`,
          )
        : '';
    const from = this.#maybe(75, () => this.#from());
    const where = this.#maybe(40, () => ` WHERE ${this.#expression()}`);
    const group = this.#maybe(
      15,
      () =>
        ` GROUP BY ${this.#list(2, () => this.#one([() => this.#expression(), () => `ROLLUP (ca, ${this.#expression()})`, () => `GROUPING SETS ((ca), CUBE (cb))`])())}`,
    );
    const order = this.#maybe(20, () => ` ORDER BY ${this.#list(2, () => this.#expression())}`);
    const lock = this.#maybe(
      6,
      () => ` FOR ${this.#one(['UPDATE', 'SHARE', 'NO KEY UPDATE', 'KEY SHARE'])}`,
    );
    return `SELECT${distinct} ${this.#list(3, target)}${into}${from}${where}${group}${order}${lock}`;
  }

  #query(): string {
    return this.#nested(
      () =>
        this.#one([
          () => this.#select(),
          () => this.#select(),
          () => `VALUES (${this.#list(2, () => this.#expression())})`,
          () => `TABLE ${this.#relation()}`,
          () => `(${this.#query()}) UNION ALL (${this.#query()})`,
          () => `${this.#with()}${this.#select()}`,
        ])(),
      () => 'SELECT 1',
    );
  }

  #write(): string {
    const returning = this.#maybe(30, () => ` RETURNING ${this.#expression()}`);
    return this.#one([
      () =>
        `INSERT INTO ${this.#relation()} (ca, cb) ${this.#query()}${this.#maybe(30, () => ` ON CONFLICT (ca) DO UPDATE SET (ca, cb) = (${this.#expression()}, 1)`)}${returning}`,
      () =>
        `UPDATE ${this.#relation()} SET ca = ${this.#expression()}, (cb, cc) = (1, ${this.#call()})${this.#maybe(50, () => this.#from())} WHERE ${this.#expression()}${returning}`,
      () =>
        `DELETE FROM ${this.#relation()} AS d${this.#maybe(40, () => ` USING ${this.#list(2, () => this.#tableItem())}`)} WHERE ${this.#expression()}${returning}`,
      () =>
        `MERGE INTO ${this.#relation()} m USING ${this.#table()} ON ${this.#expression()} WHEN MATCHED AND ${this.#expression()} THEN UPDATE SET ca = ${this.#call()} WHEN NOT MATCHED THEN INSERT (ca) VALUES (${this.#expression()})`,
    ])();
  }

  statement(): string {
    const prefix = this.#maybe(20, () => this.#with());
    return `${prefix}${this.#below(5) === 0 ? this.#write() : this.#select()}`;
  }
}
