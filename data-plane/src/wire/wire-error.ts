/**
 * The one failure of every codec under wire/: the peer's bytes are not the protocol.
 * Owns: the class and its text.
 * Leaves: SQLSTATE, errno and what the client reads to session/client-error.ts.
 */

/**
 * Thrown by decoders, scanners and SASL roles for input they refuse, and by encoders for values the
 * format cannot carry. The connection it came from cannot go on: there is no way back to a frame
 * boundary.
 */
export class WireError extends Error {
  override readonly name = 'WireError';
  /** What is wrong, with both numbers where a length or limit is broken; no payload, no secret. */
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}
