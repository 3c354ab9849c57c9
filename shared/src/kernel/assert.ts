/**
 * Programmer errors end here: a broken invariant must stop the work that broke it, never be served.
 * Operating errors (a refused connection, bad input) are AppErrors, not assertions.
 */

/** Thrown when code breaks its own rules; never caused by input. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** @throws InvariantViolation when `condition` does not hold. */
export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new InvariantViolation(invariant);
}

/** Closes an exhaustive switch: adding a member to the union stops this from compiling. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`unreachable: ${JSON.stringify(value)}`);
}
