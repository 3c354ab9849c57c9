/** Which methods a path knows, so that a wrong method is told apart from a wrong path. */
export class AllowedMethods {
  readonly #patterns = new Map<string, Set<string>>();

  /** @param pattern as routes are declared: `/tenants/:id`, `/docs/*`. */
  add(method: string | readonly string[], pattern: string): void {
    const methods = this.#patterns.get(pattern) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    this.#patterns.set(pattern, methods);
  }

  /**
   * The methods of the patterns that `path` (without its query) matches; none when there is no such
   * path.
   */
  of(path: string): readonly string[] {
    const matching = [...this.#patterns].filter(([pattern]) => matches(pattern, path));
    return [...new Set(matching.flatMap(([, methods]) => [...methods]))].sort();
  }
}

function matches(pattern: string, path: string): boolean {
  const segments = path.split('/');
  const parts = pattern.split('/');
  const wildcard = parts.indexOf('*');
  if (wildcard === -1 && parts.length !== segments.length) return false;
  return parts
    .slice(0, wildcard === -1 ? undefined : wildcard)
    .every((part, index) =>
      part.startsWith(':') ? segments[index] !== '' : part === segments[index],
    );
}
