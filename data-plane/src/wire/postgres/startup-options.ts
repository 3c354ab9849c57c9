/**
 * The text of the startup parameter `options`: server command-line arguments, of which only
 * settings are taken.
 * Source: PostgreSQL 18, utils/init/postinit.c pg_split_opts(), tcop/postgres.c
 * process_postgres_switches() and utils/misc/guc.c ParseLongOption().
 */

export interface OptionSetting {
  /** As the server reads it: dashes are underscores. */
  readonly name: string;
  readonly value: string;
}

export type ParsedOptions =
  | { readonly kind: 'settings'; readonly settings: readonly OptionSetting[] }
  /** `error` is the server's text for it; its SQLSTATE is syntax_error. */
  | { readonly kind: 'invalid'; readonly error: string };

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

/** Reads `-c name=value`, `-cname=value` and `--name=value`, in order, a name given twice twice. */
export function parseOptions(options: string): ParsedOptions {
  const args = splitOptions(options);
  const settings: OptionSetting[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    let flag: '-c ' | '--';
    let text: string;
    if (arg.startsWith('--') && arg.length > 2) {
      flag = '--';
      text = arg.slice(2);
    } else if (arg.startsWith('-c')) {
      flag = '-c ';
      const next = arg.length > 2 ? arg.slice(2) : args[++i];
      if (next === undefined) return invalidArgument(arg);
      text = next;
    } else {
      return invalidArgument(arg);
    }
    const equals = text.indexOf('=');
    if (equals === -1) {
      return { kind: 'invalid', error: `${flag}${text.replaceAll('-', '_')} requires a value` };
    }
    if (equals === 0) return invalidArgument(arg);
    settings.push({
      name: text.slice(0, equals).replaceAll('-', '_'),
      value: text.slice(equals + 1),
    });
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
  return {
    kind: 'invalid',
    error: `invalid command-line argument for server process: ${arg}`,
  };
}
