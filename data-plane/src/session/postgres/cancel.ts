/**
 * The cancel keys this proxy hands out. A key names the proxy and one session; the servers' own
 * never leave. A short key has the 8 bytes of protocol 3.0: 15 bits of the proxy, then 48 random
 * bits. A long one, since 3.2, has 32 random bytes behind them, and then the proxy's whole id.
 * Source: PostgreSQL manual, "Canceling Requests in Progress", BackendKeyData.
 */
import { createHash } from 'node:crypto';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { AttemptThrottle } from '../../access/attempt-throttle.ts';
import type { ClientAddress } from '../../access/client-address.ts';
import type { Meter } from '../meter.ts';
import { unseenBytes } from './unseen-bytes.ts';

export interface CancelKey {
  /** Shown to the client as its server process; positive. */
  readonly processId: number;
  readonly secretKey: Buffer;
}

const SHORT_RANDOM_BYTES = 4;
const LONG_RANDOM_BYTES = 32;

export interface Cancellable {
  cancel(): void;
}

export class CancelRegistry {
  readonly #proxyId: Buffer;
  readonly #proxyBits: number;
  /** By `cancelName`. */
  readonly #sessions = new Map<string, Cancellable>();

  constructor(proxy: ProxyId) {
    this.#proxyId = Buffer.from(proxy);
    this.#proxyBits = createHash('sha256').update(proxy).digest().readUInt16BE(0) & 0x7fff;
  }

  /** A key that no session of this proxy has. */
  newKey(length: 'short' | 'long'): CancelKey {
    for (;;) {
      const random = unseenBytes(2 + (length === 'long' ? LONG_RANDOM_BYTES : SHORT_RANDOM_BYTES));
      const secret = random.subarray(2);
      const key = {
        processId: (this.#proxyBits << 16) | random.readUInt16BE(0),
        secretKey: length === 'long' ? Buffer.concat([secret, this.#proxyId]) : secret,
      };
      if (!this.#sessions.has(cancelName(key))) return key;
    }
  }

  /** @param name `cancelName` of the session's key */
  register(name: string, session: Cancellable): void {
    this.#sessions.set(name, session);
  }

  forget(name: string): void {
    this.#sessions.delete(name);
  }

  /** Cancels what the key's session runs; a key nobody has is ignored, as the protocol wants. */
  cancel(key: CancelKey): 'found' | 'unknown_key' {
    const session = this.#sessions.get(cancelName(key));
    session?.cancel();
    return session === undefined ? 'unknown_key' : 'found';
  }
}

/**
 * Does what a cancel request asks; nobody is answered, whatever becomes of it. Keys cannot be tried
 * without end: whose address has shown too many that nobody has is not listened to for a while.
 */
export function requestCancel(
  key: CancelKey,
  address: ClientAddress,
  { cancels, cancelThrottle, meter }: CancelServices,
): void {
  const attempt = { address, tenant: undefined };
  if (cancelThrottle.judge(attempt) !== undefined) return meter.cancelRequested('throttled');
  const outcome = cancels.cancel(key);
  if (outcome === 'found') cancelThrottle.succeeded(attempt);
  else cancelThrottle.failed(attempt);
  meter.cancelRequested(outcome);
}

interface CancelServices {
  readonly cancels: Pick<CancelRegistry, 'cancel'>;
  readonly cancelThrottle: AttemptThrottle;
  readonly meter: Pick<Meter, 'cancelRequested'>;
}

/** What a session keeps of its key: the bytes of it, one a character. */
export function cancelName({ processId, secretKey }: CancelKey): string {
  const bytes = Buffer.allocUnsafe(4 + secretKey.length);
  bytes.writeInt32BE(processId);
  secretKey.copy(bytes, 4);
  return bytes.toString('latin1');
}
