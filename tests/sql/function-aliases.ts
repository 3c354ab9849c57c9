/**
 * Attributes that call functions of values, in PostgreSQL's own parse tree: `g.f` where g is the
 * alias of a function in FROM and f no column of it. Scopes are not told apart.
 * Source: libpg-query (PostgreSQL 18), src/include/nodes/parsenodes.h (RangeFunction, ColumnRef).
 */
type Node = Readonly<Record<string, unknown>>;

/** Their aliases stand for rows, not for values. */
const OF_ROWS: ReadonlySet<string> = new Set(
  'aclexplode json_each json_each_text jsonb_each jsonb_each_text'.split(' '),
);
const OF_ELEMENTS = /^jsonb?_array_elements(?:_text)?$/;

/** The names of functions that attributes in this tree may call. */
export function attributeCallsIn(tree: unknown): readonly string[] {
  const found = new FunctionAliases();
  found.walk(tree);
  return found.calls();
}

class FunctionAliases {
  readonly #pairs: (readonly [qualifier: string, name: string])[] = [];
  readonly #items: { readonly alias: string; readonly columns: readonly string[] }[] = [];

  walk(value: unknown): void {
    if (Array.isArray(value)) for (const item of value) this.walk(item);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) {
        if (key === 'ColumnRef') this.#column((inner as Node)['fields'] as Node[]);
        if (key === 'RangeFunction') this.#item(inner as Node);
        this.walk(inner);
      }
    }
  }

  calls(): readonly string[] {
    const isCall = ([qualifier, name]: readonly [string, string]) =>
      this.#items.some(({ alias, columns }) => alias === qualifier && !columns.includes(name));
    return this.#pairs.filter(isCall).map(([, name]) => name);
  }

  #column([qualifier, name, ...more]: readonly Node[]): void {
    if (qualifier === undefined || name === undefined || more.length > 0) return;
    if ('String' in name) this.#pairs.push([text(qualifier), text(name)]);
  }

  #item(node: Node): void {
    const [first] = node['functions'] as { List: { items: Node[] } }[];
    const call = first?.List.items[0]?.['FuncCall'] as { funcname: Node[] } | undefined;
    const own = call === undefined ? '' : text(call.funcname.at(-1));
    if (OF_ROWS.has(own)) return;
    const { aliasname: alias = own, colnames } = (node['alias'] ?? {}) as {
      aliasname?: string;
      colnames?: Node[];
    };
    const ordinality = node['ordinality'] === true ? ['ordinality'] : [];
    const column = OF_ELEMENTS.test(own) ? 'value' : alias;
    this.#items.push({ alias, columns: [...(colnames?.map(text) ?? [column]), ...ordinality] });
  }
}

function text(node: Node | undefined): string {
  return (node as { String?: { sval: string } } | undefined)?.String?.sval ?? '';
}
