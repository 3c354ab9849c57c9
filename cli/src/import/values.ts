/**
 * Values of PgBouncer's settings as ours. Pure.
 * Source: PgBouncer's manual, "Generic settings"; times are in seconds, with fractions.
 */
import { formatDuration } from '@dbbouncer/shared/contract/duration.ts';

export type Value = string | number | boolean | readonly string[];

export type ValueReading =
  | { readonly outcome: 'value'; readonly value: Value; readonly differs?: string | undefined }
  /** It says what we do anyhow. */
  | { readonly outcome: 'nothing' }
  | { readonly outcome: 'lost'; readonly why: string };

export type ReadValue = (written: string) => ValueReading;

export function whole(written: string): ValueReading {
  return /^\d{1,9}$/.test(written) ? value(Number(written)) : lost('is no whole number');
}

export interface Seconds {
  readonly minMs: number;
  readonly maxMs: number;
  /** What stands for PgBouncer's 0, which switches the limit off, where we have no such thing. */
  readonly never?: string;
}

export function seconds({ minMs, maxMs, never }: Seconds): ReadValue {
  return (written) => {
    const ms = Math.round(Number(written) * 1_000);
    if (!/^\d*\.?\d+$/.test(written) || !Number.isFinite(ms)) return lost('is no time in seconds');
    if (ms === 0 && never !== undefined) {
      return value(never, `0 means never there; ${never} is the most here`);
    }
    const within = Math.min(Math.max(ms, minMs), maxMs);
    const text = formatDuration(within);
    return within === ms ? value(text) : value(text, `${written} s is out of range here`);
  };
}

/** One of these words, in any case. */
export function word(words: Readonly<Record<string, string | ValueReading>>): ReadValue {
  return (written) => {
    const found = words[written.toLowerCase()];
    if (found === undefined) return lost(`is none of ${Object.keys(words).join(', ')}`);
    return typeof found === 'string' ? value(found) : found;
  };
}

/** 1 or 0. */
export function onOff(on: ValueReading, off: ValueReading): ReadValue {
  return (written) => {
    if (written === '1') return on;
    return written === '0' ? off : lost('is neither 0 nor 1');
  };
}

export function anyText(written: string): ValueReading {
  return written === '' ? NOTHING : value(written);
}

export const NOTHING: ValueReading = Object.freeze({ outcome: 'nothing' });

export function value(read: Value, differs?: string): ValueReading {
  return { outcome: 'value', value: read, differs };
}

export function lost(why: string): ValueReading {
  return { outcome: 'lost', why };
}
