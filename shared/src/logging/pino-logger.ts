/**
 * The Logger port over pino: one JSON object a line, on stderr unless told otherwise, since stdout
 * belongs to the command's own words. Fields named like secrets are cut out, as a second fence:
 * nobody should log them at all.
 */
import { pino } from 'pino';
import type { DestinationStream, Logger as PinoInstance } from 'pino';
import type { LogFields, Logger, LogLevel } from '../kernel/log.ts';
import { LineWriter, toDescriptor } from './line-writer.ts';
import type { WriteBytes } from './line-writer.ts';

const STDERR_FD = 2;

const SECRET_NAMES = Object.freeze([
  'password',
  'server_password',
  'serverPassword',
  'verifier',
  'clientKey',
  'api_key',
  'apiKey',
  'masterKey',
  'authorization',
  'secret',
]);

/** Each name at the top, and one and two levels down. */
const REDACTED_PATHS = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/**
 * Lines carry `level` as a word, `time` as RFC 3339, the fields and `msg`.
 * @param target for tests; stderr by default.
 */
export function createPinoLogger(
  level: LogLevel,
  fields: LogFields = {},
  target: DestinationStream = logLines(toDescriptor(STDERR_FD)),
): Logger {
  const instance = pino(
    {
      level,
      base: { ...fields },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
      errorKey: 'error',
      serializers: { error: describeError },
    },
    target,
  );
  return wrap(instance);
}

/** Lines of a log, which says itself how many of them could not be written. */
export function logLines(write: WriteBytes): DestinationStream {
  return new LineWriter(write, (lines, why) => {
    const head = `{"level":"warn"${pino.stdTimeFunctions.isoTime()},"lines":${lines}`;
    return `${head},"why":${JSON.stringify(why)},"msg":"lines of the log were lost"}\n`;
  });
}

function wrap(instance: PinoInstance): Logger {
  return Object.freeze({
    debug: (fields: LogFields, message: string) => instance.debug(fields, message),
    info: (fields: LogFields, message: string) => instance.info(fields, message),
    warn: (fields: LogFields, message: string) => instance.warn(fields, message),
    error: (fields: LogFields, message: string) => instance.error(fields, message),
    child: (fields: LogFields) => wrap(instance.child(fields)),
  });
}

/** An error as fields; its causes are a chain of messages. What is no error stays as it is. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as { readonly code?: unknown };
  return {
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}
