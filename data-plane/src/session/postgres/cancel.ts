/**
 * The cancel keys this proxy hands out. A key names the proxy and one session; the servers' own
 * never leave. A short key has the 8 bytes of protocol 3.0: 15 bits of the proxy, then 48 random
 * bits. A long one, since 3.2, has 32 random bytes behind them, and then the proxy's whole id.
 * Source: PostgreSQL manual, "Canceling Requests in Progress", BackendKeyData.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { KeyOwner } from '@dbbouncer/shared/contract/forwarded-cancel.ts';
import { isProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { AttemptThrottle } from '../../access/attempt-throttle.ts';
import type { ClientAddress } from '../../access/client-address.ts';
import type { CancelOutcome, Meter } from '../meter.ts';
import { unseenBytes } from './unseen-bytes.ts';

export interface CancelKey {
  /** Shown to the client as its server process; positive. */
  readonly processId: number;
  readonly secretKey: Buffer;
}

const SHORT_RANDOM_BYTES = 4;
const LONG_RANDOM_BYTES = 32;
const NUMBER_MAX = 0x7fff;

export interface Cancellable {
  cancel(): void;
}

interface Registered {
  readonly name: string;
  readonly session: Cancellable;
}

export class CancelRegistry {
  /** Shown in short keys; other proxies may have the same. */
  readonly number: number;
  readonly #proxyId: Buffer;
  /** By process id: the part of a key that is no secret. */
  readonly #sessions = new Map<number, Registered[]>();

  constructor(proxy: ProxyId) {
    this.#proxyId = Buffer.from(proxy);
    this.number = createHash('sha256').update(proxy).digest().readUInt16BE(0) & NUMBER_MAX;
  }

  /** A key that no session of this proxy has. */
  newKey(length: 'short' | 'long'): CancelKey {
    for (;;) {
      const random = unseenBytes(2 + (length === 'long' ? LONG_RANDOM_BYTES : SHORT_RANDOM_BYTES));
      const secret = random.subarray(2);
      const key = {
        processId: (this.number << 16) | random.readUInt16BE(0),
        secretKey: length === 'long' ? Buffer.concat([secret, this.#proxyId]) : secret,
      };
      if (this.#find(key) === undefined) return key;
    }
  }

  /** @param name `cancelName` of the session's key */
  register(name: string, session: Cancellable): void {
    const processId = processIdIn(name);
    const known = this.#sessions.get(processId);
    if (known === undefined) this.#sessions.set(processId, [{ name, session }]);
    else known.push({ name, session });
  }

  forget(name: string): void {
    const processId = processIdIn(name);
    const left = this.#sessions.get(processId)?.filter((one) => one.name !== name) ?? [];
    if (left.length === 0) this.#sessions.delete(processId);
    else this.#sessions.set(processId, left);
  }

  /** Cancels what the key's session runs; a key nobody has is ignored, as the protocol wants. */
  cancel(key: CancelKey): 'found' | 'unknown_key' {
    const session = this.#find(key);
    session?.cancel();
    return session === undefined ? 'unknown_key' : 'found';
  }

  /** Takes as long whatever part of the secret is right. */
  #find(key: CancelKey): Cancellable | undefined {
    const wanted = Buffer.from(cancelName(key), 'latin1');
    let found: Cancellable | undefined;
    for (const { name, session } of this.#sessions.get(key.processId) ?? []) {
      if (name.length !== wanted.length) continue;
      if (timingSafeEqual(Buffer.from(name, 'latin1'), wanted)) found = session;
    }
    return found;
  }
}

function processIdIn(name: string): number {
  return Buffer.from(name.slice(0, 4), 'latin1').readInt32BE();
}

/** The proxy whose key it is, as far as the key says. */
export function ownerOf({ processId, secretKey }: CancelKey): KeyOwner {
  const id = secretKey.subarray(LONG_RANDOM_BYTES).toString('latin1');
  if (isProxyId(id)) return { kind: 'proxy', proxy: id };
  return { kind: 'number', number: (processId >>> 16) & NUMBER_MAX };
}

/**
 * Does what a cancel request asks, here or at the proxy of its session; resolves when that is done,
 * and nobody is answered, whatever becomes of it. Keys cannot be tried without end: whose address
 * has shown too many that nobody has is not listened to for a while.
 */
export async function requestCancel(
  key: CancelKey,
  address: ClientAddress,
  { cancels, cancelThrottle, elsewhere, meter }: CancelServices,
): Promise<void> {
  const attempt = { address, tenant: undefined };
  if (cancelThrottle.judge(attempt) !== undefined) return meter.cancelRequested('throttled');
  const outcome: CancelOutcome =
    cancels.cancel(key) === 'found' ? 'found' : FOREIGN[await elsewhere.cancel(key, ownerOf(key))];
  if (outcome === 'unknown_key') cancelThrottle.failed(attempt);
  else if (outcome !== 'throttled') cancelThrottle.succeeded(attempt);
  meter.cancelRequested(outcome);
}

const FOREIGN = { found: 'forwarded', unknown_key: 'unknown_key', busy: 'throttled' } as const;

/** Has another proxy cancel what is not known here. */
export interface CancelsElsewhere {
  cancel(key: CancelKey, owner: KeyOwner): Promise<keyof typeof FOREIGN>;
}

interface CancelServices {
  readonly cancels: Pick<CancelRegistry, 'cancel'>;
  readonly cancelThrottle: AttemptThrottle;
  readonly elsewhere: CancelsElsewhere;
  readonly meter: Pick<Meter, 'cancelRequested'>;
}

/** What a session keeps of its key: the bytes of it, one a character. */
export function cancelName({ processId, secretKey }: CancelKey): string {
  const bytes = Buffer.allocUnsafe(4 + secretKey.length);
  bytes.writeInt32BE(processId);
  secretKey.copy(bytes, 4);
  return bytes.toString('latin1');
}
