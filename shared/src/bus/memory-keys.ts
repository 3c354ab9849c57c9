/**
 * One bucket of keys in memory: revisions, expectations, ages and those who watch.
 * Leaves: names and lifetime of buckets to memory-bus.ts.
 */
import type { Clock } from '../kernel/clock.ts';
import type { Logger } from '../kernel/log.ts';
import { BUS_LIMITS } from './bus.ts';
import type { BusKeys, KeyChange, KeyEntry, KeysSpec, Subscription } from './bus.ts';
import { busConflict, busTooLarge, busUnavailable } from './bus-errors.ts';
import { subjectMatches } from './subject-match.ts';

type Handler = (change: KeyChange) => void | Promise<void>;

interface Held extends KeyEntry {
  readonly atMs: number;
}

export class MemoryKeys implements BusKeys {
  readonly #spec: KeysSpec;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #entries = new Map<string, Held>();
  readonly #watchers = new Set<Watcher>();
  #revision = 0;
  #phase: 'open' | 'closed' = 'open';

  constructor(spec: KeysSpec, clock: Clock, log: Logger) {
    this.#spec = spec;
    this.#clock = clock;
    this.#log = log.child({ bucket: spec.bucket });
  }

  async get(key: string): Promise<KeyEntry | undefined> {
    this.#requireOpen('read a key');
    const held = this.#held(key);
    return held && { value: held.value, revision: held.revision };
  }

  async put(key: string, value: Uint8Array): Promise<number> {
    return this.#write(key, value);
  }

  async create(key: string, value: Uint8Array): Promise<number> {
    this.#requireOpen('write a key');
    if (this.#held(key) !== undefined) throw busConflict(`"${key}"`, 'nothing');
    return this.#write(key, value);
  }

  async update(key: string, value: Uint8Array, expectedRevision: number): Promise<number> {
    this.#requireRevision(key, expectedRevision);
    return this.#write(key, value);
  }

  async delete(key: string, expectedRevision?: number): Promise<void> {
    if (expectedRevision !== undefined) this.#requireRevision(key, expectedRevision);
    this.#requireOpen('delete a key');
    if (this.#held(key) === undefined) return;
    this.#entries.delete(key);
    this.#revision += 1;
    this.#tell({ kind: 'deleted', key, revision: this.#revision });
  }

  watch(pattern: string, handler: Handler): Subscription {
    if (this.#phase === 'closed') return { close: () => {} };
    const watcher = new Watcher(pattern, handler, this.#log);
    this.#watchers.add(watcher);
    for (const [key, { value, revision }] of this.#entries) {
      if (this.#held(key) !== undefined) watcher.tell({ kind: 'put', key, value, revision });
    }
    return {
      close: () => {
        watcher.close();
        this.#watchers.delete(watcher);
      },
    };
  }

  close(): void {
    this.#phase = 'closed';
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers.clear();
  }

  #held(key: string): Held | undefined {
    const held = this.#entries.get(key);
    const { ttlMs = Infinity } = this.#spec;
    if (held === undefined || this.#clock.nowMs() - held.atMs < ttlMs) return held;
    this.#entries.delete(key);
    return undefined;
  }

  #write(key: string, value: Uint8Array): number {
    this.#requireOpen('write a key');
    const { valueBytesMax = BUS_LIMITS.messageBytesMax } = this.#spec;
    const tooLarge = busTooLarge(`The value of "${key}"`, value, valueBytesMax);
    if (tooLarge !== undefined) throw tooLarge;
    this.#requireRoom(key, value);
    this.#revision += 1;
    const entry = { value, revision: this.#revision };
    this.#entries.set(key, Object.freeze({ ...entry, atMs: this.#clock.nowMs() }));
    this.#tell({ kind: 'put', key, ...entry });
    return this.#revision;
  }

  #requireRoom(key: string, value: Uint8Array): void {
    const { bytesMax } = this.#spec;
    if (bytesMax === undefined) return;
    let bytes = value.byteLength;
    for (const other of this.#entries.keys()) {
      if (other !== key) bytes += this.#held(other)?.value.byteLength ?? 0;
    }
    if (bytes <= bytesMax) return;
    throw busUnavailable('write a key', `the bucket is full: ${bytes} bytes of ${bytesMax}`);
  }

  #requireRevision(key: string, expected: number): void {
    this.#requireOpen('write a key');
    if (this.#held(key)?.revision !== expected) throw busConflict(`"${key}"`, expected);
  }

  #requireOpen(operation: string): void {
    if (this.#phase === 'closed') throw busUnavailable(operation, 'it is closed');
  }

  #tell(change: KeyChange): void {
    for (const watcher of this.#watchers) watcher.tell(Object.freeze(change));
  }
}

/** Tells changes one at a time, in later turns; of a key that waits, the newest alone. */
class Watcher {
  readonly #pattern: string;
  readonly #handler: Handler;
  readonly #log: Logger;
  readonly #waiting = new Map<string, KeyChange>();
  #phase: 'idle' | 'telling' | 'closed' = 'idle';

  constructor(pattern: string, handler: Handler, log: Logger) {
    this.#pattern = pattern;
    this.#handler = handler;
    this.#log = log;
  }

  tell(change: KeyChange): void {
    if (!subjectMatches(this.#pattern, change.key)) return;
    this.#waiting.delete(change.key);
    this.#waiting.set(change.key, change);
    if (this.#phase !== 'idle') return;
    this.#phase = 'telling';
    setImmediate(() => void this.#tellAll());
  }

  close(): void {
    this.#phase = 'closed';
    this.#waiting.clear();
  }

  async #tellAll(): Promise<void> {
    for (const [key, change] of this.#waiting) {
      this.#waiting.delete(key);
      try {
        await this.#handler(change);
      } catch (error) {
        this.#log.error({ error, key }, 'bus handler failed');
      }
    }
    if (this.#phase === 'telling') this.#phase = 'idle';
  }
}
