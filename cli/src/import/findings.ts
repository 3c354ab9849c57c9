/**
 * What an import has to say about a file of others: faults, with which nothing is made of it, and
 * notes on what is not the same afterwards. Secrets are in neither.
 */

export interface Spot {
  readonly file: string;
  /** Both from 1. */
  readonly line: number;
  readonly column?: number | undefined;
}

/**
 * `lost`: it has no counterpart, and somebody has to decide. `differs`: it has one that is not
 * quite the same. `needless`: there is nothing to do in its place.
 */
export type NoteKind = 'lost' | 'differs' | 'needless';

export interface Note {
  readonly kind: NoteKind;
  /** Nothing where it is about no line. */
  readonly spot: Spot | undefined;
  /** Begins with the name of what it is about. */
  readonly text: string;
}

export interface Fault {
  readonly spot: Spot;
  readonly message: string;
}

/** More are counted, not told. */
export const FAULTS_TOLD_MAX = 100;

export class Findings {
  readonly #notes: Note[] = [];
  readonly #faults: Fault[] = [];

  note(kind: NoteKind, spot: Spot | undefined, text: string): void {
    this.#notes.push({ kind, spot, text });
  }

  fault(spot: Spot, message: string): void {
    this.#faults.push({ spot, message });
  }

  get notes(): readonly Note[] {
    return this.#notes;
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }
}

/** A line each, `file:line:column: message`. */
export function formatFaults(faults: readonly Fault[]): readonly string[] {
  const told = faults
    .slice(0, FAULTS_TOLD_MAX)
    .map(({ spot, message }) => `${formatSpot(spot)} ${message}`);
  const more = faults.length - told.length;
  return more === 0 ? told : [...told, `and ${more} more`];
}

const HEADINGS: Readonly<Record<NoteKind, string>> = Object.freeze({
  lost: 'Not taken over; see whether it matters:',
  differs: 'Taken over, and not quite the same:',
  needless: 'Not needed any more:',
});

/** By kind, a line each under a heading. */
export function formatNotes(notes: readonly Note[]): readonly string[] {
  return (Object.keys(HEADINGS) as NoteKind[]).flatMap((kind) => {
    const own = notes.filter((note) => note.kind === kind);
    if (own.length === 0) return [];
    return [
      HEADINGS[kind],
      ...own.map(
        ({ spot, text }) => `  ${spot === undefined ? '' : `${formatSpot(spot)} `}${text}`,
      ),
    ];
  });
}

function formatSpot({ file, line, column }: Spot): string {
  return column === undefined ? `${file}:${line}:` : `${file}:${line}:${column}:`;
}
