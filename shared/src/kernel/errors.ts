/**
 * What every expected failure looks like. A plane declares its failures once, in its `errors.ts`,
 * with `defineErrors`; HTTP statuses and SQLSTATEs are assigned at that plane's edge, never here.
 */

/**
 * Who has to act: the client that asked, the operator's config, a full resource, the database, us.
 */
export type ErrorKind = 'client' | 'config' | 'capacity' | 'upstream' | 'unavailable' | 'internal';

export interface ErrorSpec {
  readonly kind: ErrorKind;
  /** Whether the same request may succeed later without anyone changing it. */
  readonly retryable: boolean;
  /** One line for the documentation: when this happens. */
  readonly summary: string;
  /** What to do about it: told to the client where the failure itself says nothing better. */
  readonly hint?: string;
}

export interface ErrorDetails {
  /** More facts, safe for the client. */
  readonly detail?: string;
  /** What to do about it, safe for the client. */
  readonly hint?: string;
  /** Facts for the log only. */
  readonly context?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** An expected failure. `message`, `detail` and `hint` are safe to show to the client. */
export class AppError<Code extends string = string> extends Error {
  override readonly name = 'AppError';
  readonly code: Code;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: Code, spec: ErrorSpec, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.kind = spec.kind;
    this.retryable = spec.retryable;
    this.detail = details.detail;
    this.hint = details.hint;
    this.context = details.context ?? {};
  }
}

export interface ErrorCatalogue<Code extends string, Spec extends ErrorSpec = ErrorSpec> {
  readonly specs: Readonly<Record<Code, Spec>>;
  /** Makes the error `code` with a message for the client. */
  fail(code: Code, message: string, details?: ErrorDetails): AppError<Code>;
  is(error: unknown): error is AppError<Code>;
}

export function defineErrors<const Specs extends Record<string, ErrorSpec>>(
  specs: Specs,
): ErrorCatalogue<Extract<keyof Specs, string>, Specs[keyof Specs]> {
  type Code = Extract<keyof Specs, string>;
  return Object.freeze({
    specs,
    fail: (code: Code, message: string, details?: ErrorDetails) =>
      new AppError(code, specs[code] as ErrorSpec, message, details),
    is: (error: unknown): error is AppError<Code> =>
      error instanceof AppError && Object.hasOwn(specs, error.code),
  });
}
