/**
 * Divides a number of slots among those who want some, max-min fair: nobody gets less so that
 * somebody who wants more gets more than he. Where there are more who want than slots, those who
 * have one give it up after a turn. Pure; the time is passed in.
 */

/** For how long a slot stays where it is while others have none. */
export const TURN_MS = 250;

export interface Claim {
  readonly wanted: number;
  readonly has: number;
  /** When it last got a slot of which others had none, and when it last lost one. */
  turnBeganMs: number;
  turnEndedMs: number;
}

/** Whole shares, in the order of `claims`: none above what is wanted, together at most `slots`. */
export function fairShares(claims: readonly Claim[], slots: number, nowMs: number): number[] {
  const level = fairLevel(claims, slots);
  const shares = claims.map(({ wanted }) => Math.min(wanted, level));
  let left = slots - shares.reduce((sum, share) => sum + share, 0);
  if (left <= 0) return shares;
  const more = claims.map((_, index) => index).filter((i) => wantedBy(claims, i) > level);
  more.sort((a, b) => inLine(claims, a, b, level, nowMs));
  for (const index of more) {
    if (left === 0) break;
    shares[index] = level + 1;
    left -= 1;
  }
  return shares;
}

/** What everybody who wants so much can get at least. */
function fairLevel(claims: readonly Claim[], slots: number): number {
  const wanted = claims.map((claim) => claim.wanted).sort((a, b) => a - b);
  let left = Math.max(0, slots);
  let level = 0;
  for (const [index, want] of wanted.entries()) {
    const claimants = wanted.length - index;
    if ((want - level) * claimants > left) return level + Math.floor(left / claimants);
    left -= (want - level) * claimants;
    level = want;
  }
  return level;
}

/** Who has it keeps it for his turn; after it come those who have waited longest. */
function inLine(
  claims: readonly Claim[],
  a: number,
  b: number,
  level: number,
  nowMs: number,
): number {
  const [one, other] = [claims[a], claims[b]];
  if (one === undefined || other === undefined) return 0;
  const difference = rank(one, level, nowMs) - rank(other, level, nowMs);
  return difference === 0 ? one.turnEndedMs - other.turnEndedMs || a - b : difference;
}

function rank(claim: Claim, level: number, nowMs: number): number {
  if (claim.has <= level) return 1;
  return level > 0 || nowMs - claim.turnBeganMs < TURN_MS ? 0 : 2;
}

function wantedBy(claims: readonly Claim[], index: number): number {
  return claims[index]?.wanted ?? 0;
}
