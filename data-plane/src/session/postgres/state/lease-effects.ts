/**
 * What the statements of one lease have done to its session, as far as their texts and the outcome
 * tell: parameters, and what the client would have to be pinned for. A lease in which nothing
 * failed and nothing was rolled back has done what its texts say, in their order; of any other the
 * server is asked, once, before the lease ends.
 * Owns: that distinction. Leaves: reading texts to sql/, questions to session-questions.ts, what
 * follows for the client to statement-watch.ts.
 */
import {
  EMPTY_VECTOR,
  parameterVector,
  withParameter,
} from '../../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import type { Failure } from '../outstanding.ts';
import type { PinReason, SettingChange, TextEffects } from '../sql/effects.ts';
import { namesTemporarySchema, strongest } from '../sql/statement-effects.ts';
import type { ClientSettings } from './client-settings.ts';
import { LostDefaults } from './lost-defaults.ts';
import { ASKABLE_PINS } from './session-questions.ts';
import type { SessionAnswer, SessionQuestion } from './session-questions.ts';
import { isCustom, isTooMuch, isUnrepeatable } from './setting-changes.ts';

/** A reason to pin, with what became of the statement that gave it. */
interface PendingPin {
  readonly reason: PinReason;
  outcome: 'done' | 'failed' | 'never_ran';
}

/** What holds once a lease is quiet and outside of a transaction. */
export interface Outcome {
  /** Of the client, for its next lease. */
  readonly mine: ParameterVector;
  /** On the server connection. */
  readonly here: ParameterVector;
  readonly pin: PinReason | undefined;
}

/** Shared by all leases that have none, as most. */
const NO_NAMES: ReadonlySet<string> = new Set();
const NO_PINS: readonly PendingPin[] = Object.freeze([]);

const NO_ANSWER: SessionAnswer = Object.freeze({ values: new Map(), holds: [] });

export class LeaseEffects {
  /** What must be given back to the server connection before the client's next batch. */
  readonly lost: LostDefaults;
  readonly #settings: ClientSettings;
  /** As the lease began. */
  #hereBefore: ParameterVector = EMPTY_VECTOR;
  /** If all goes well. */
  #mine: ParameterVector = EMPTY_VECTOR;
  #here: ParameterVector = EMPTY_VECTOR;
  /** Parameters that were set or reset by name. */
  #touched: Set<string> | undefined;
  /** Those of them with values that no text tells. */
  #unsure: Set<string> | undefined;
  /** The other parameters. */
  #others: 'unchanged' | 'reset' | 'unsure' = 'unchanged';
  #pins: PendingPin[] | undefined;
  /** Something failed or may have been rolled back. */
  #isDoubtful = false;
  #bound: ((failure: Failure) => void) | undefined;
  /** Statements that set parameters, bound and not executed. */
  #unexecuted = 0;
  #parsing: TextEffects['changesParsing'] = 'nothing';
  #hasReset = false;
  #isUntouched = true;

  constructor(settings: ClientSettings) {
    this.#settings = settings;
    this.lost = new LostDefaults(settings.startup);
  }

  /** A lease begins, on a server connection with these parameters. */
  begin(here: ParameterVector): void {
    this.#hereBefore = here;
    this.#here = here;
    this.#mine = this.#settings.vector;
    this.#isDoubtful = false;
    if (this.#isUntouched) return;
    this.#isUntouched = true;
    this.#touched = undefined;
    this.#unsure = undefined;
    this.#others = 'unchanged';
    this.#pins = undefined;
    this.#bound = undefined;
    this.#unexecuted = 0;
    this.#parsing = 'nothing';
    this.lost.clear();
    this.#hasReset = false;
  }

  /** Nothing was done that the next client, or this one, would notice. */
  get isUntouched(): boolean {
    return this.#isUntouched;
  }

  /** Whether texts may mean something else by now than under the client's parameters of before. */
  get changesParsing(): TextEffects['changesParsing'] {
    return this.#parsing;
  }

  // ---- what happens ----

  /** A statement is about to run. @returns to be called if it does not, where that matters */
  runs(effects: TextEffects): ((failure: Failure) => void) | undefined {
    if (effects.mayRollBack) this.#isDoubtful = true;
    if (effects.changesParsing !== 'nothing') this.#parsingChanges(effects.changesParsing);
    if (!this.lost.isEmpty) this.lost.overridden(effects.touches);
    for (const name of effects.localDefaults) {
      this.#isUntouched = false;
      this.lost.changedLocally(name);
    }
    for (const change of effects.settings) this.#change(change);
    for (const name of effects.unsure) this.#isUnsure(name);
    return effects.pin === undefined ? undefined : this.#mayPin(effects.pin);
  }

  /** As `runs`, of a statement for an Execute to run; `portal` is empty for the unnamed one. */
  binds(effects: TextEffects, portal: string): ((failure: Failure) => void) | undefined {
    if (effects.settings.length > 0 || effects.unsure.length > 0) {
      // It is not followed which Execute runs a portal with a name.
      if (portal !== '') this.#isDoubtful = true;
      this.#unexecuted += 1;
    }
    this.#bound = this.runs(effects);
    return this.#bound;
  }

  /** A statement without effects is bound: what becomes of it says nothing of those before. */
  bindsPlain(): undefined {
    this.#bound = undefined;
  }

  /**
   * An Execute runs what was bound last, for the first time; a later one finds done what there was
   * to do. @returns as `runs`
   */
  executes(): ((failure: Failure) => void) | undefined {
    if (this.#unexecuted > 0) this.#unexecuted -= 1;
    const bound = this.#bound;
    this.#bound = undefined;
    return bound;
  }

  /** The server has answered something with an error. */
  failed(): void {
    this.#isDoubtful = true;
  }

  /** Parameters have changed that no text has set. */
  unforeseen(): void {
    this.#isUntouched = false;
    this.#others = 'unsure';
  }

  /** Whether parameters went back to what the server takes for their default. */
  get hasReset(): boolean {
    return this.#hasReset;
  }

  /** Whether the texts do not tell what has happened. */
  get isDoubtful(): boolean {
    return this.#isDoubtful || this.#unexecuted > 0;
  }

  hasTouched(name: string): boolean {
    return this.#others !== 'unchanged' || this.#touched?.has(name) === true;
  }

  #parsingChanges(effect: TextEffects['changesParsing']): void {
    this.#isUntouched = false;
    if (this.#parsing !== 'lexing') this.#parsing = effect;
  }

  #change(change: SettingChange): void {
    this.#isUntouched = false;
    if (change.kind === 'set') this.#touch(change.name);
    else if (this.#others === 'unchanged') this.#others = 'reset';
    this.#mine = this.#settings.mineAfter(this.#mine, change);
    this.#here = this.#settings.hereAfter(this.#here, change);
    this.lost.changed(change);
    if (change.kind !== 'set' || change.value === undefined) this.#hasReset = true;
  }

  #touch(name: string): void {
    this.#touched ??= new Set();
    this.#touched.add(name);
  }

  #isUnsure(name: string): void {
    this.#isUntouched = false;
    this.#touch(name);
    this.#unsure ??= new Set();
    this.#unsure.add(name);
  }

  #mayPin(reason: PinReason): (failure: Failure) => void {
    this.#isUntouched = false;
    const pin: PendingPin = { reason, outcome: 'done' };
    this.#pins ??= [];
    this.#pins.push(pin);
    return (failure) => {
      pin.outcome = failure === 'failed' ? 'failed' : 'never_ran';
    };
  }

  // ---- within the lease ----

  /** `lost` was given back to the server connection. */
  restored(): void {
    for (const [name, value] of this.lost.entries('session')) {
      this.#here = withParameter(this.#here, name, value);
    }
    this.lost.clear();
  }

  // ---- at its end ----

  /** What to ask the server before `outcome`; undefined when the texts tell all. */
  get question(): SessionQuestion | undefined {
    if (this.#isUntouched) return undefined;
    const { isDoubtful } = this;
    const others = this.#others === 'unsure' || (isDoubtful && this.#others === 'reset');
    const touched = this.#touched ?? NO_NAMES;
    const names = new Set(isDoubtful ? touched : this.#unsure);
    if (others) {
      for (const name of [...touched, ...this.#mine.values.keys()]) {
        if (isCustom(name)) names.add(name);
      }
    }
    const holds = isDoubtful && this.#pins?.some(isAskable) === true;
    if (names.size === 0 && !others && !holds) return undefined;
    return {
      names,
      others: others ? 'asked' : 'unchanged',
      holds: holds ? 'asked' : 'unchanged',
    };
  }

  /** What holds now; with the answer, if there was a question. */
  outcome(question?: SessionQuestion, answer: SessionAnswer = NO_ANSWER): Outcome {
    const { isDoubtful } = this;
    let mine = isDoubtful ? this.#settings.vector : this.#mine;
    let here = isDoubtful ? this.#hereBefore : this.#here;
    if (question !== undefined) {
      here = parameterVector(answered(here, question, answer));
      mine = this.#mineAnswered(mine, question, answer);
    }
    return { mine, here, pin: this.#pinOf(mine, isDoubtful ? answer : undefined) };
  }

  #mineAnswered(
    mine: ParameterVector,
    question: SessionQuestion,
    answer: SessionAnswer,
  ): ParameterVector {
    const { startup } = this.#settings;
    const entries = new Map(answered(mine, question, answer));
    // A RESET leaves a parameter of two parts empty.
    for (const [name] of this.lost.entries('session'))
      if (entries.get(name) === '') entries.delete(name);
    for (const [name, value] of startup.values) if (!entries.has(name)) entries.set(name, value);
    if (this.#settings.applicationNames === 'pooled') entries.delete('application_name');
    return parameterVector(entries);
  }

  /** @param answer where what the texts say may not have happened */
  #pinOf(mine: ParameterVector, answer: SessionAnswer | undefined): PinReason | undefined {
    let pin: PinReason | undefined;
    for (const { reason, outcome } of this.#pins ?? NO_PINS) {
      const isKept = answer === undefined || (outcome === 'done' && !ASKABLE_PINS.has(reason));
      if (outcome !== 'never_ran' && isKept) pin = strongest(pin, reason);
    }
    pin = answer?.holds.reduce(strongest, pin) ?? pin;
    if (namesTemporarySchema(mine.values.get('search_path') ?? '')) pin ??= 'temp_object';
    if (isUnrepeatable(mine)) pin ??= 'set_unparsable';
    return pin ?? (isTooMuch(mine) ? 'set' : undefined);
  }
}

/** Of a text that is not understood any of these may stay behind, though it failed. */
function isAskable({ reason, outcome }: PendingPin): boolean {
  return outcome !== 'never_ran' && (ASKABLE_PINS.has(reason) || outcome === 'failed');
}

function* answered(
  vector: ParameterVector,
  { names, others }: SessionQuestion,
  { values }: SessionAnswer,
): Iterable<readonly [string, string]> {
  for (const [name, value] of vector.values) {
    const isAsked = names.has(name) || (others === 'asked' && !isCustom(name));
    if (!isAsked) yield [name, value];
  }
  yield* values;
}
