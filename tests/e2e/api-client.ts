/**
 * The REST API as a script with the key uses it; everything that comes back, for tests to judge.
 */
export interface ApiAnswer {
  readonly status: number;
  readonly etag: string | null;
  /** The body as JSON, an empty object when there is none; tests assert on it. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface TenantFields {
  readonly id: string;
  readonly host?: string;
  readonly port: number;
  readonly dbname: string;
  readonly username: string;
  readonly password: string;
  readonly pool_mode?: 'session' | 'transaction';
  readonly max_connections?: number;
  readonly min_connections?: number;
  readonly users?: readonly Readonly<Record<string, unknown>>[] | null;
  readonly pause_wait_timeout?: string;
  readonly acquire_timeout?: string;
  readonly auth_query?: Readonly<Record<string, unknown>> | null;
}

export interface FleetAnswer {
  readonly position: number;
  readonly published_position: number;
  readonly epoch: number;
  readonly proxies: readonly {
    readonly id: string;
    readonly status: 'live' | 'lost';
    readonly started_at: string;
    readonly applied_position: number;
    readonly behind: number;
    readonly clients: number;
    readonly connections: { readonly active: number; readonly total: number };
  }[];
}

export class ApiClient {
  readonly #url: string;
  readonly #key: string | undefined;
  readonly #timeoutMs: number;

  /** @param timeoutMs after which a request fails that is not answered */
  constructor(url: string, key?: string, timeoutMs = 60_000) {
    this.#url = url;
    this.#key = key;
    this.#timeoutMs = timeoutMs;
  }

  /** @param ifMatch the ETag of what is changed */
  async call(
    method: string,
    path: string,
    body?: unknown,
    ifMatch?: string | null,
  ): Promise<ApiAnswer> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      signal: AbortSignal.timeout(this.#timeoutMs),
      headers: {
        ...(this.#key !== undefined && { authorization: `Bearer ${this.#key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(typeof ifMatch === 'string' && { 'if-match': ifMatch }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = (text === '' ? {} : JSON.parse(text)) as ApiAnswer['body'];
    return { status: response.status, etag: response.headers.get('etag'), body: json };
  }

  /** The body of a GET. @throws Error when it is not answered with 200 */
  async get(path: string): Promise<ApiAnswer['body']> {
    return (await this.#expect(200, 'GET', path)).body;
  }

  async fleet(): Promise<FleetAnswer> {
    return (await this.get('/fleet')) as unknown as FleetAnswer;
  }

  /** @throws Error with the answer when it is refused; so do the next two */
  async addTenant(tenant: TenantFields): Promise<ApiAnswer> {
    const body = { db_type: 'postgres', host: '127.0.0.1', ...tenant };
    return await this.#expect(201, 'POST', '/tenants', body);
  }

  async patchTenant(id: string, changes: Partial<TenantFields>): Promise<ApiAnswer> {
    return await this.#change(200, 'PATCH', `/tenants/${id}`, changes);
  }

  async removeTenant(id: string): Promise<void> {
    await this.#change(204, 'DELETE', `/tenants/${id}`);
  }

  /** Reads which version is there, and writes on that. */
  async #change(status: number, method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const { etag } = await this.#expect(200, 'GET', path);
    return await this.#expect(status, method, path, body, etag);
  }

  async #expect(
    status: number,
    method: string,
    path: string,
    body?: unknown,
    ifMatch?: string | null,
  ): Promise<ApiAnswer> {
    const answer = await this.call(method, path, body, ifMatch);
    if (answer.status === status) return answer;
    const text = JSON.stringify(answer.body);
    throw new Error(`${method} ${path} was answered with ${answer.status}: ${text}`);
  }
}
