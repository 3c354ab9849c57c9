/**
 * Reads the texts of one client as the server does that runs them.
 * Owns: how that server reads strings now, and whether that is certain. Leaves: what a text does to
 * sql/.
 */
import type { LeakDetector } from '../../upstream/leaks/leak-detector.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import { carryListen } from './sql/carry-listen.ts';
import type { CarriedText } from './sql/carry-listen.ts';
import { isAscii } from './sql/characters.ts';
import { textEffects, UNPARSABLE } from './sql/effects.ts';
import type { TextEffects } from './sql/effects.ts';
import { namesMoment } from './sql/moments.ts';
import { bytesEffects } from './sql/text-bytes.ts';
import type { LexOptions } from './sql/tokens.ts';

const STANDARD: LexOptions = Object.freeze({ standardConformingStrings: true });
const ESCAPES: LexOptions = Object.freeze({ standardConformingStrings: false });

export class TextReader {
  #backend: PostgresBackend | undefined;
  /** While somebody looks for what clients leave. */
  #looker: LeakDetector | undefined;
  /** A statement that was sent may change how the server reads the next one. */
  #changes = false;

  /** What comes is read by `backend`. */
  leaseBegan(backend: PostgresBackend): void {
    this.#backend = backend;
    this.#looker = backend.leaks.isOn ? backend.leaks : undefined;
  }

  /** Until the server has answered, nobody knows how it reads the next text. */
  changes(): void {
    this.#changes = true;
  }

  /** Everything is answered: it is known how the server reads. */
  settled(): void {
    this.#changes = false;
  }

  /** What a text does that is about to be run or parsed. */
  read(sql: string): TextEffects {
    this.#looker?.noteText(sql);
    const isUncertain = this.#changes || this.#backend?.textReading === 'opaque';
    // Without these it is read the same in any way.
    if (isUncertain && (!isAscii(sql) || sql.includes('\\'))) return UNPARSABLE;
    return textEffects(sql, this.#options);
  }

  /** The same of a text (latin1) where it lies; no string is made of one that is known. */
  readAt(buffer: Buffer, start: number, end: number): TextEffects {
    const isStandard = (this.#backend?.textReading ?? 'standard') === 'standard';
    return isStandard && !this.#changes && this.#looker === undefined
      ? bytesEffects(buffer, start, end, STANDARD)
      : this.read(buffer.toString('latin1', start, end));
  }

  /** The effects of a text whose LISTEN another session carries out. */
  carriesListen(sql: string, effects: TextEffects): CarriedText {
    return carryListen(sql, effects, this.#options);
  }

  /** Whether the meaning of a text is a matter of its time. */
  namesMoment(sql: string): boolean {
    return namesMoment(sql, this.#options);
  }

  get #options(): LexOptions {
    return this.#backend?.textReading === 'escapes' ? ESCAPES : STANDARD;
  }
}
