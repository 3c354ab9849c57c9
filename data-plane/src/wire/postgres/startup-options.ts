/**
 * The text of the startup parameter `options`: server command-line arguments, of which only
 * settings are taken.
 * Source: PostgreSQL 18, utils/init/postinit.c pg_split_opts(), tcop/postgres.c
 * process_postgres_switches() and utils/misc/guc.c ParseLongOption().
 */
import { SqlState } from './sqlstate.ts';

export interface OptionSetting {
  /** As the server reads it: dashes are underscores. */
  readonly name: string;
  readonly value: string;
}

export type ParsedOptions =
  | { readonly kind: 'settings'; readonly settings: readonly OptionSetting[] }
  /** What the server would answer. */
  | { readonly kind: 'invalid'; readonly sqlState: SqlState; readonly error: string };

/** What C's isspace() takes for white space. */
const WHITE_SPACE = ' \t\n\v\f\r';

/** Splits at unescaped white space; a backslash takes the character after it as it is. */
export function splitOptions(options: string): string[] {
  const args: string[] = [];
  let arg: string | undefined;
  let escaped = false;
  for (const char of options) {
    if (!escaped && WHITE_SPACE.includes(char)) {
      if (arg !== undefined) args.push(arg);
      arg = undefined;
      continue;
    }
    arg ??= '';
    escaped = !escaped && char === '\\';
    if (!escaped) arg += char;
  }
  if (arg !== undefined) args.push(arg);
  return args;
}

/**
 * Reads `-c name=value`, `-cname=value` and `--name=value`, in order, a name given twice twice. The
 * server's other switches (`-e`, `-S`, …) are refused like ones it does not know.
 */
export function parseOptions(options: string): ParsedOptions {
  const args = splitOptions(options);
  const settings: OptionSetting[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    const attached = arg.slice(2);
    if (arg === '--') {
      // The end of the switches, as getopt() has it; nothing may follow.
      const next = args[i + 1];
      return next === undefined ? { kind: 'settings', settings } : invalidArgument(next);
    }
    if (!arg.startsWith('-c') && !arg.startsWith('--')) return invalidArgument(arg);
    const text = arg === '-c' ? args[++i] : attached;
    if (text === undefined) return invalidArgument(arg);
    const equals = text.indexOf('=');
    if (equals === -1) {
      const flag = arg.startsWith('-c') ? '-c ' : '--';
      return invalid(SqlState.syntax_error, `${flag}${text} requires a value`);
    }
    const name = text.slice(0, equals).replaceAll('-', '_');
    if (name === '') {
      return invalid(SqlState.undefined_object, 'unrecognized configuration parameter ""');
    }
    settings.push({ name, value: text.slice(equals + 1) });
  }
  return { kind: 'settings', settings };
}

/** The text that `parseOptions` reads as `settings`; empty for none. */
export function formatOptions(settings: readonly OptionSetting[]): string {
  return settings.map(({ name, value }) => `-c ${escape(`${name}=${value}`)}`).join(' ');
}

function escape(text: string): string {
  return text.replaceAll(/[\\ \t\n\v\f\r]/g, String.raw`\$&`);
}

function invalidArgument(arg: string): ParsedOptions {
  const error = `invalid command-line argument for server process: ${arg}`;
  return invalid(SqlState.syntax_error, error);
}

function invalid(sqlState: SqlState, error: string): ParsedOptions {
  return { kind: 'invalid', sqlState, error };
}
