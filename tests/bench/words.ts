/** Figures and goals in words, for the terminal and for documents. */
import type { Outcome, ReachedGoal } from './comparison.ts';

export function whole(figure: number): string {
  return Number.isNaN(figure) ? '–' : Math.round(figure).toLocaleString('en');
}

/** Two or three digits that count. */
export function short(figure: number): string {
  if (Number.isNaN(figure)) return '–';
  if (Math.abs(figure) >= 100) return whole(figure);
  return String(Number(figure.toPrecision(Math.abs(figure) >= 10 ? 3 : 2)));
}

/** How many usually, and at most where that is more. */
export function connectionsInWords({ serverConnections, usualConnections }: Connections): string {
  const [usual, most] = [whole(usualConnections), whole(serverConnections)];
  return usual === most ? most : `${usual}, most ${most}`;
}

type Connections = Pick<Outcome, 'serverConnections' | 'usualConnections'>;

/** Such as: `tps, to PgBouncer's: 1.83 (at least 1.7; dream 2.2): reached`. */
export function goalInWords(goal: ReachedGoal): string {
  return `${goal.title}: ${factor(goal.figure)}${limitsInWords(goal)}: ${goal.verdict}`;
}

export function factor(figure: number): string {
  if (Number.isNaN(figure)) return '–';
  return Math.abs(figure) >= 10 ? short(figure) : String(Number(figure.toFixed(2)));
}

function limitsInWords({ is, bar, dream }: ReachedGoal): string {
  const parts = [
    ...(bar === undefined ? [] : [`${is} ${bar}`]),
    ...(dream === undefined ? [] : [`dream ${dream}`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}
