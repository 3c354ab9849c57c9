/**
 * Ways a request fails before it reaches the control plane's rules. HTTP statuses are given in
 * problem.ts.
 */
import { AppError, defineErrors } from '@dbbouncer/shared/kernel/errors.ts';
import type { FieldProblem } from '@dbbouncer/shared/contract/explain.ts';
import { controlErrors } from '../errors.ts';
import type { ProbedAnswer } from './writes/probe-schema.ts';

export const apiErrors = defineErrors({
  ROUTE_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'There is nothing under this path.',
  },
  METHOD_NOT_ALLOWED: {
    kind: 'client',
    retryable: false,
    summary: 'The path knows other methods than this one; Allow lists them.',
  },
  MALFORMED_REQUEST: {
    kind: 'client',
    retryable: false,
    summary: 'The request is not valid HTTP, or its body is not valid JSON.',
  },
  BODY_TOO_LARGE: {
    kind: 'client',
    retryable: false,
    summary: 'The body has more bytes than are allowed.',
  },
  BATCH_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: 'Operations of the batch cannot be done, so none was; each has its own code.',
  },
  BATCH_TOO_LARGE: {
    kind: 'client',
    retryable: false,
    summary: 'The batch changes more than proxies can be told at once.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    kind: 'client',
    retryable: false,
    summary: 'The body is not declared as JSON.',
  },
  RATE_LIMITED: {
    kind: 'capacity',
    retryable: true,
    summary: 'This client sends more requests than are allowed; Retry-After says when to go on.',
  },
  TOO_MANY_WAIT: {
    kind: 'capacity',
    retryable: true,
    summary: 'As many writes wait for proxies as may wait; nothing was changed.',
  },
  CONFIG_FILE_ABSENT: {
    kind: 'client',
    retryable: false,
    summary: 'The control plane was started without a config file.',
  },
  PROBE_FAILED: {
    kind: 'client',
    retryable: false,
    summary: 'A proxy could not connect to the database server as the write would have it.',
  },
  PROBE_UNAVAILABLE: {
    kind: 'unavailable',
    retryable: true,
    summary: 'No proxy could try whether the database server can be connected to.',
  },
  FORWARDING_FAILED: {
    kind: 'unavailable',
    retryable: true,
    summary:
      'The control plane that leads did not answer a write that was passed on to it: it may have' +
      ' been done. Under the same Idempotency-Key it can be repeated safely.',
  },
  NOT_READY: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The control plane is starting, stopping or cut off from its bus.',
  },
  INTERNAL: {
    kind: 'internal',
    retryable: true,
    summary: 'A fault of DBBouncer; its log has more under the request id.',
  },
});

/** A key that may less than the request needs. */
export class ScopeMissing extends AppError<'SCOPE_MISSING'> {
  readonly needed: string;

  constructor(needed: string, held: string, hint?: string) {
    const message = `This needs the scope ${needed}; the API key has ${held}.`;
    const more = hint === undefined ? {} : { hint };
    super('SCOPE_MISSING', controlErrors.specs.SCOPE_MISSING, message, more);
    this.needed = needed;
  }
}

/** A change of another version than the one that is there, or of none that it names. */
export class WrongVersion extends AppError<'VERSION_CONFLICT' | 'PRECONDITION_REQUIRED'> {
  /** Of what is there. */
  readonly etag: string;

  constructor(code: WrongVersion['code'], etag: string, message: string, hint: string) {
    super(code, controlErrors.specs[code], message, { hint });
    this.etag = etag;
  }
}

/** A write that was to be made only if the servers of its tenants can be connected to. */
export class ProbeRefused extends AppError<'PROBE_FAILED' | 'PROBE_UNAVAILABLE'> {
  /** What was found of each, as it is told. */
  readonly probed: readonly ProbedAnswer[];

  constructor(
    code: ProbeRefused['code'],
    told: {
      readonly message: string;
      readonly hint: string;
      readonly probed: readonly ProbedAnswer[];
    },
  ) {
    super(code, apiErrors.specs[code], told.message, { hint: told.hint });
    this.probed = told.probed;
  }
}

/** A request with fields that are wrong, each of them named. */
export class InvalidFields extends AppError<'VALIDATION_FAILED'> {
  readonly fields: readonly FieldProblem[];

  constructor(fields: readonly FieldProblem[]) {
    const message = fields.map(({ path, message }) => `${path} ${message}`.trim()).join('; ');
    super('VALIDATION_FAILED', controlErrors.specs.VALIDATION_FAILED, asSentence(message));
    this.fields = fields;
  }
}

function asSentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

export function invalidField(name: string, message: string): InvalidFields {
  return new InvalidFields([{ path: name, message, keys: [name] }]);
}

/** One of several operations that were asked for at once. */
export interface Failed {
  /** As in `operations[3]`. */
  readonly path: string;
  readonly error: AppError;
}

/** What is wrong with one of several operations. */
export interface OperationProblem {
  readonly path: string;
  readonly message: string;
  readonly code: string;
}

/** Several operations, some of which cannot be done, each of those named. */
export class BatchRefused extends AppError<'BATCH_REFUSED'> {
  readonly problems: readonly OperationProblem[];

  constructor(problems: readonly OperationProblem[], failed: number, of: number) {
    super(
      'BATCH_REFUSED',
      apiErrors.specs.BATCH_REFUSED,
      `${failed} of ${of} operations cannot be done; nothing was changed.`,
    );
    this.problems = problems;
  }
}

/** @throws BATCH_REFUSED; VALIDATION_FAILED when nothing but values are wrong. */
export function requireEachDone(failures: readonly Failed[], of: number): void {
  if (failures.length === 0) return;
  const problems = failures.flatMap(problemsOf);
  if (problems.every(({ code }) => code === 'VALIDATION_FAILED')) {
    throw new InvalidFields(problems.map(({ path, message }) => ({ path, message, keys: [path] })));
  }
  throw new BatchRefused(problems, failures.length, of);
}

function problemsOf({ path, error }: Failed): readonly OperationProblem[] {
  const { code } = error;
  if (error instanceof InvalidFields) {
    return error.fields.map((field) => ({
      path: `${path}.body.${field.path}`,
      message: field.message,
      code,
    }));
  }
  return [{ path, message: [error.message, error.hint].filter(Boolean).join(' '), code }];
}
