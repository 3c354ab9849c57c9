/**
 * The kinds of values a setting can have, each with one reader for flags, environment and YAML
 * alike. A reader takes text or what YAML made of it, and gives the value or the sentence that says
 * what is allowed.
 */
import { DURATION_RULE, formatDuration, parseDurationMs } from '../contract/duration.ts';
import { show } from '../contract/explain.ts';

export type Reading<Value> =
  | { readonly outcome: 'value'; readonly value: Value }
  | { readonly outcome: 'refused'; readonly message: string };

export type ReadSetting<Value> = (raw: unknown) => Reading<Value>;

const WHOLE_NUMBER = /^\d{1,15}$/;

export function wholeNumber(min: number, max: number): ReadSetting<number> {
  return (raw) => {
    const number = typeof raw === 'string' && WHOLE_NUMBER.test(raw) ? Number(raw) : raw;
    return typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max
      ? value(number)
      : refused(`must be a whole number between ${min} and ${max}; got ${show(raw)}`);
  };
}

/** 0 asks the system for a free port. */
export const port: ReadSetting<number> = wholeNumber(0, 65_535);

/** In milliseconds. */
export function duration(minMs: number, maxMs: number): ReadSetting<number> {
  return (raw) => {
    const durationMs = typeof raw === 'string' ? parseDurationMs(raw) : undefined;
    if (durationMs === undefined) return refused(`must be ${DURATION_RULE}; got ${show(raw)}`);
    if (durationMs >= minMs && durationMs <= maxMs) return value(durationMs);
    const range = `${formatDuration(minMs)} and ${formatDuration(maxMs)}`;
    return refused(`must be between ${range}; got ${show(raw)}`);
  };
}

/** Text that matches `pattern`; `rule` completes "must be …". */
export function text(pattern: RegExp, rule: string): ReadSetting<string> {
  return (raw) =>
    typeof raw === 'string' && pattern.test(raw)
      ? value(raw)
      : refused(`must be ${rule}; got ${show(raw)}`);
}

/** Like text, but what was given is never repeated. */
export function secretText(pattern: RegExp, rule: string): ReadSetting<string> {
  return (raw) =>
    typeof raw === 'string' && pattern.test(raw) ? value(raw) : refused(`must be ${rule}`);
}

/** Several texts: a list in YAML, separated by commas elsewhere; `rule` says what each must be. */
export function list(
  isAllowed: (item: string) => boolean,
  rule: string,
): ReadSetting<readonly string[]> {
  return (raw) => {
    const items: unknown =
      typeof raw === 'string' ? raw.split(',').map((item) => item.trim()) : raw;
    if (!Array.isArray(items) || items.length === 0) return refused(`must be a list of ${rule}`);
    const wrong = items.find((item) => typeof item !== 'string' || !isAllowed(item)) as unknown;
    return wrong === undefined
      ? value(Object.freeze([...(items as string[])]))
      : refused(`must be a list of ${rule}; got ${show(wrong)} in it`);
  };
}

export function choice<const Choice extends string>(
  choices: readonly Choice[],
): ReadSetting<Choice> {
  return (raw) => {
    const found = choices.find((candidate) => candidate === raw);
    return found === undefined
      ? refused(`must be one of ${choices.join(', ')}; got ${show(raw)}`)
      : value(found);
  };
}

/** A yes or no from outside, as the two words used inside. */
export function either<const Yes extends string, const No extends string>(
  yes: Yes,
  no: No,
): ReadSetting<Yes | No> {
  return (raw) => {
    if (raw === true || raw === 'true') return value(yes);
    if (raw === false || raw === 'false') return value(no);
    return refused(`must be true or false; got ${show(raw)}`);
  };
}

function value<Value>(read: Value): Reading<Value> {
  return { outcome: 'value', value: read };
}

function refused(message: string): Reading<never> {
  return { outcome: 'refused', message };
}
