/**
 * The logger port. Code logs facts as fields and a constant message; the adapter decides format and
 * target. Secrets never get here: pass ids, not configs.
 */

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
export const LOG_LEVELS: readonly LogLevel[] = Object.freeze([
  'trace',
  'debug',
  'info',
  'warn',
  'error',
  'silent',
]);

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to each line. */
  child(fields: LogFields): Logger;
}

/** Whether the `count`th of something that may come often is worth a line: 1, 2, 4, 8 and so on. */
export function isMilestone(count: number): boolean {
  return count > 0 && (count & (count - 1)) === 0;
}

export const silentLogger: Logger = Object.freeze({
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
});
