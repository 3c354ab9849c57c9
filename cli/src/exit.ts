/**
 * How a command ends: its exit code, and its failure in words for the person who typed it.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { settingsFlags } from '@dbbouncer/shared/settings/setting-list.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';

export const EXIT = Object.freeze({
  ok: 0,
  /** It was asked rightly and did not work. */
  failure: 1,
  /** The command line, an environment variable or the config file is not usable as it is. */
  usage: 2,
});

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command that failed after its settings were known. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly settings: Settings;

  constructor(cause: unknown, settings: Settings) {
    super('the command failed', { cause });
    this.settings = settings;
  }
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandFailure) return exitCodeOf(error.cause);
  return error instanceof AppError && error.code === 'SETTINGS_INVALID' ? EXIT.usage : EXIT.failure;
}

/** What happened, to which value, and what to do; the stack too when the log level is debug. */
export function failureText(error: unknown): string {
  if (!(error instanceof CommandFailure)) return inWords(error, undefined);
  const { cause, settings } = error;
  const words = inWords(cause, settings);
  const isVerbose = settings.logLevel === 'debug' || settings.logLevel === 'trace';
  return isVerbose && cause instanceof Error ? `${words}\n${cause.stack ?? ''}` : words;
}

/** @param settings when they are known, a port in use is named by the flag that changes it. */
function inWords(error: unknown, settings: Settings | undefined): string {
  if (error instanceof AppError) {
    const advice = [error.detail, error.hint].filter((text) => text !== undefined);
    return [prefixed(error.message), ...advice.map((text) => `  ${text}`)].join('\n');
  }
  const known = systemFailure(error as NodeJS.ErrnoException, settings);
  return prefixed(known ?? (error instanceof Error ? error.message : String(error)));
}

/** A message may hold several problems, a line each. */
function prefixed(text: string): string {
  return text.replaceAll(/^/gm, 'dbbouncer: ');
}

interface SystemError extends NodeJS.ErrnoException {
  readonly address?: string;
  readonly port?: number;
}

function systemFailure(error: SystemError, settings: Settings | undefined): string | undefined {
  const { code, path, address, port } = error;
  if (code === 'EADDRINUSE' && port !== undefined) {
    const flag = flagOfPort(port, settings);
    const other = flag === undefined ? 'choose another one' : `choose another with ${flag} N`;
    return `port ${port} on ${address ?? 'this machine'} is in use by another program; ${other}`;
  }
  if (code === 'EADDRNOTAVAIL') {
    return `${address ?? 'the address'} is no address of this machine; choose another with --host`;
  }
  if (code === 'EACCES' && port !== undefined) {
    return `port ${port} may only be used by root; choose one above 1023`;
  }
  const reason = pathFailure(error);
  return path !== undefined && reason !== undefined ? `${path}: ${reason}` : undefined;
}

/** Why a file cannot be opened, in words and without its name; nothing when it is not known. */
export function pathFailure({ code }: NodeJS.ErrnoException): string | undefined {
  return PATH_FAILURES[code ?? ''];
}

const PATH_FAILURES: Readonly<Record<string, string>> = Object.freeze({
  EACCES: 'this user may not open it; change its owner or mode, or choose another place',
  EPERM: 'this user may not open it; change its owner or mode, or choose another place',
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'a part of this path is a file, not a folder',
  EROFS: 'it lies on a file system that cannot be written to',
  ENOSPC: 'the disk is full',
});

function flagOfPort(port: number, settings: Settings | undefined): string | undefined {
  const named = settingsFlags.find(
    ({ name, flag }) =>
      name !== 'config' && name.endsWith('Port') && flag !== undefined && settings?.[name] === port,
  );
  return named?.flag;
}
