/**
 * Looks whether a server connection that its client has left, and that counts as clean, is: it must
 * hold what its login gave, the parameters that are known to be set and nothing else. A check on
 * the proxy itself, for tests and for operators who want to see it; off by default.
 * Owns: which connections are looked at, what may be there. Leaves: the questions to
 * session-holdings.ts, what becomes of a connection that holds more to whoever asked.
 */
import type { LeakDetectorMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { ServerError } from '../conversation.ts';
import type { PostgresBackend } from '../postgres-backend.ts';
import { withinTime } from '../time-limit.ts';
import { CustomNames } from './custom-names.ts';
import { holdingsOf, remembersSequence } from './session-holdings.ts';
import type { Holding, Holdings, LeakKind } from './session-holdings.ts';

/** With `sample` the first connection that is given back is looked at, and then each so many. */
export const SAMPLED_EVERY = 100;

export interface LeakDetectorOptions {
  /** As it is now. */
  readonly mode: () => LeakDetectorMode;
  /** Once for each kind of what was found in one connection. */
  readonly onLeak: (kind: LeakKind) => void;
  readonly onInspected: () => void;
  /** How long a server may take to answer, in ms, as it is now. */
  readonly limitMs: () => number;
  readonly clock: Clock;
  readonly log: Logger;
}

const NOTHING: readonly never[] = Object.freeze([]);

export class LeakDetector {
  readonly #options: LeakDetectorOptions;
  readonly #customNames = new CustomNames();
  /** What their logins gave, init_sql included. */
  readonly #baselines = new WeakMap<PostgresBackend, readonly Holding[]>();
  #untilNext = 0;

  constructor(options: LeakDetectorOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#options.mode() !== 'off';
  }

  /** Whether to look at the connection that is given back now; each is to be asked for once. */
  takesNext(): boolean {
    const mode = this.#options.mode();
    if (mode !== 'sample') return mode === 'all';
    if (this.#untilNext > 0) {
      this.#untilNext -= 1;
      return false;
    }
    this.#untilNext = SAMPLED_EVERY - 1;
    return true;
  }

  /** A client's text: it may name parameters that the server does not list. */
  noteText(sql: string): void {
    this.#customNames.readText(sql);
  }

  /** A connection that init_sql has prepared and nobody has used. @throws ConversationLost */
  async begins(backend: PostgresBackend): Promise<void> {
    if (!this.isOn) return;
    const held = await this.#held(backend);
    if (held !== undefined) this.#baselines.set(backend, held.all);
  }

  /**
   * Looks at a connection that is at rest and should be clean but for `statements`.
   * @returns `unknown` when the server refuses the questions: a client's limits may hold for them
   * @throws ConversationLost
   */
  async inspect(
    backend: PostgresBackend,
    statements: ReadonlySet<string>,
  ): Promise<'clean' | 'leaking' | 'unknown'> {
    const before = backend.initSql === undefined ? NOTHING : this.#baselines.get(backend);
    // Whoever turned the detector on came after the login.
    if (before === undefined) return 'clean';
    const held = await this.#held(backend);
    if (held === undefined) return 'unknown';
    this.#options.onInspected();
    const { values } = backend.vector;
    const isKnown = ({ kind, name }: Holding) =>
      kind === 'prepared_statement' ? statements.has(name) : SET.has(kind) && values.has(name);
    const leaks = [
      ...difference(before, held.all).filter((holding) => !isKnown(holding)),
      ...held.deviating.map((name) => ({ kind: 'parameter', name, value: '' }) as const),
    ];
    if (leaks.length === 0) return 'clean';
    this.#tell(leaks);
    return 'leaking';
  }

  /** Undefined when the server refuses the questions. */
  async #held(backend: PostgresBackend): Promise<Holdings | undefined> {
    for (const name of backend.vector.values.keys()) this.#customNames.add(name);
    const { clock, limitMs } = this.#options;
    const text = 'the server did not answer what the connection holds within cancel_wait_timeout';
    try {
      return await withinTime(backend, { clock, limitMs: limitMs(), text }, () =>
        held(backend, this.#customNames.all),
      );
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.#options.log.debug({ reason: error.message }, 'a connection could not be looked at');
      return undefined;
    }
  }

  /** Values are not told: they may be anybody's. */
  #tell(leaks: readonly Holding[]): void {
    for (const kind of new Set(leaks.map((leak) => leak.kind))) this.#options.onLeak(kind);
    const found = leaks.map(({ kind, name }) => `${kind} ${name}`.trim());
    this.#options.log.error({ found }, 'a client left something on a server connection');
  }
}

async function held(backend: PostgresBackend, names: ReadonlySet<string>): Promise<Holdings> {
  const holdings = await holdingsOf(backend, backend.vector, names);
  if (!(await remembersSequence(backend))) return holdings;
  const sequence = { kind: 'sequence', name: '', value: '' } as const;
  return { ...holdings, all: [...holdings.all, sequence] };
}

/** Kinds that a vector of parameters accounts for. */
const SET: ReadonlySet<LeakKind> = new Set(['parameter', 'custom_parameter', 'role']);

/** What is there now and was not, or was and is not any more. */
function difference(before: readonly Holding[], now: readonly Holding[]): readonly Holding[] {
  const added = now.filter((holding) => !before.some((other) => isSame(holding, other)));
  const gone = before.filter(
    ({ kind, name }) => !now.some((other) => other.kind === kind && other.name === name),
  );
  return [...added, ...gone];
}

function isSame(a: Holding, b: Holding): boolean {
  return a.kind === b.kind && a.name === b.name && a.value === b.value;
}
