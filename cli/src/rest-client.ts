/**
 * The REST API of a control plane as commands use it. Owns: the key, time limits, telling a refusal
 * in words. Leaves: what to ask to the commands.
 */
import { readFileSync } from 'node:fs';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Environment } from '@dbbouncer/shared/settings/resolve.ts';

export interface ApiFlags {
  /** Its URL. */
  readonly api: string;
  /** A file with the key; else it is in DBBOUNCER_API_KEY. */
  readonly apiKeyFile?: string | undefined;
}

export type Json = Readonly<Record<string, unknown>>;

const ANSWER_WITHIN_MS = 60_000;
const SHOWN_PROBLEMS_MAX = 20;

export class RestClient {
  readonly url: string;
  readonly #key: string;

  /** @throws SETTINGS_INVALID for a URL that is none, and without a key. */
  constructor({ api, apiKeyFile }: ApiFlags, env: Environment) {
    this.url = baseOf(api);
    this.#key = keyFrom(apiKeyFile, env);
  }

  async get(path: string): Promise<Json> {
    return await this.#call('GET', path);
  }

  /** For what takes long; no body. @param withinMs for the answer */
  async run(path: string, withinMs: number): Promise<Json> {
    return await this.#call('POST', path, undefined, {}, withinMs);
  }

  async post(path: string, body: Json, headers: Readonly<Record<string, string>>): Promise<Json> {
    return await this.#call('POST', path, body, headers);
  }

  /** @throws Error that says what was refused and why. */
  async #call(
    method: string,
    path: string,
    body?: Json,
    headers: Readonly<Record<string, string>> = {},
    withinMs = ANSWER_WITHIN_MS,
  ): Promise<Json> {
    const response = await this.#send(method, path, body, headers, withinMs);
    const answer = asJson(await response.text());
    if (response.ok) return answer;
    throw new Error(`${method} ${this.url}${path}: ${response.status} ${refusalIn(answer)}`);
  }

  async #send(
    method: string,
    path: string,
    body: Json | undefined,
    headers: Readonly<Record<string, string>>,
    withinMs: number,
  ): Promise<Response> {
    try {
      return await fetch(`${this.url}${path}`, {
        method,
        headers: {
          ...headers,
          authorization: `Bearer ${this.#key}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(withinMs),
        redirect: 'error',
      });
    } catch (error) {
      const { cause, message } = error as Error;
      const why = cause instanceof Error && cause.message !== '' ? cause.message : message;
      throw new Error(`${this.url} cannot be reached: ${why}`, { cause: error });
    }
  }
}

function baseOf(api: string): string {
  const url = URL.canParse(api) ? new URL(api) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === '') {
    return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  }
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `--api must be a URL such as http://localhost:8080; got "${api.slice(0, 60)}".`,
  );
}

function keyFrom(file: string | undefined, env: Environment): string {
  const key = file === undefined ? env['DBBOUNCER_API_KEY'] : readFileSync(file, 'utf8');
  if (key !== undefined && key.trim() !== '') return key.trim();
  throw sharedErrors.fail('SETTINGS_INVALID', '--api needs an API key.', {
    hint:
      'Set DBBOUNCER_API_KEY, or name a file that holds it with --api-key-file: the one that a' +
      ' control plane has made is api.key in its data folder.',
  });
}

/** The words of problem+json, and each field or operation that is wrong. */
function refusalIn(answer: Json): string {
  const { code = '', detail = 'without a reason' } = answer as { code?: string; detail?: string };
  const errors = (answer['errors'] ?? []) as readonly { path: string; message: string }[];
  const lines = errors
    .slice(0, SHOWN_PROBLEMS_MAX)
    .map(({ path, message }) => `\n  ${path}: ${message}`);
  return `${code} ${detail}${lines.join('')}`.trim();
}

function asJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {};
  }
}
