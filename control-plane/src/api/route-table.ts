/**
 * Every route there is: which methods a path knows, so that a wrong method is told apart from a
 * wrong path, and what each needs.
 */
import type { RouteAccess } from './access.ts';

export interface Route {
  readonly method: string;
  /** As routes are declared: `/tenants/:id`, `/docs/*`. */
  readonly pattern: string;
  /** As declared; without defaults. */
  readonly access: RouteAccess;
}

interface Declared {
  readonly method: string | readonly string[];
  readonly url: string;
  readonly config?: RouteAccess;
}

export class RouteTable {
  /** As they are declared: plugins complete what they declare after it was announced. */
  readonly #declared: Declared[] = [];

  add(route: Declared): void {
    this.#declared.push(route);
  }

  get routes(): readonly Route[] {
    return this.#declared.flatMap(({ method, url, config = {} }) =>
      [method].flat().map((one) => ({
        method: one,
        // The router's way to write a colon that begins no parameter.
        pattern: url.replaceAll('::', ':'),
        access: { access: config.access, tenants: config.tenants },
      })),
    );
  }

  /**
   * The methods of the patterns that `path` (without its query) matches; none when there is no such
   * path.
   */
  methodsOf(path: string): readonly string[] {
    const matching = this.routes.filter(({ pattern }) => matches(pattern, path));
    return [...new Set(matching.map(({ method }) => method))].sort();
  }
}

function matches(pattern: string, path: string): boolean {
  const segments = path.split('/');
  const parts = pattern.split('/');
  const wildcard = parts.indexOf('*');
  if (wildcard === -1 && parts.length !== segments.length) return false;
  return parts.slice(0, wildcard === -1 ? undefined : wildcard).every((part, index) =>
    part.startsWith(':')
      ? segments[index] !== ''
      : // A colon that begins no parameter is written twice.
        part.replaceAll('::', ':') === segments[index],
  );
}
