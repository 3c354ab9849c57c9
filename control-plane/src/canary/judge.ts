/**
 * Whether a change that some proxies try holds for all, for none, or is still open. Pure: what is
 * known of each proxy in, a verdict with its reason out.
 *
 * In this order:
 * 1. A canary that is lost, ends or was restarted ends it: nobody can say what the change did.
 * 2. So does one that refuses the config.
 * 3. So does it when all canaries fail to connect to the server.
 * 4. So do errors: once the canaries have answered ATTEMPTS_MIN, a part of errors that is MARGIN
 *    above that of the other proxies and of the time before.
 * 5. When its time is over it is promoted if every canary serves it, and QUERIES_MIN queries went
 *    well by the rules above. With fewer, each canary must hold connections of the tenant, or else
 *    a probe of the server must succeed.
 */
import type { CanaryCause } from '../domain/tenant/events.ts';

export const JUDGEMENT = Object.freeze({
  /** Queries of the canaries together that say enough to promote. */
  queriesMin: 20,
  /** Answers of the canaries together, good or bad, before errors count. */
  attemptsMin: 10,
  errorsMin: 3,
  /** By how much the part of errors may be above that of the others. */
  margin: 0.05,
  /** How long past its time a canary may take to serve the change. */
  applyGraceMs: 10_000,
});

/** What is known of one proxy since the canary began. */
export interface ProxyEvidence {
  readonly proxy: string;
  /** `unknown`: it was not heard yet by this control plane. */
  readonly life: 'live' | 'lost' | 'unknown';
  /** `told`: it has not said yet that it serves the change. */
  readonly serving: 'told' | 'applied' | 'rejected';
  /** Why it refuses the config, or is lost, or cannot connect. */
  readonly problem: string | undefined;
  readonly dial: 'connected' | 'failing' | 'unknown';
  /** Since the canary began. */
  readonly queries: number;
  readonly errors: number;
}

export interface Evidence {
  readonly elapsedMs: number;
  readonly promoteAfterMs: number;
  readonly canaries: readonly ProxyEvidence[];
  readonly others: readonly ProxyEvidence[];
  /** Of all proxies, in their lives before. */
  readonly before: Counts;
}

export interface Counts {
  readonly queries: number;
  readonly errors: number;
}

export type Verdict =
  | { readonly kind: 'wait' }
  /** Nobody has used it: the server has to be asked. */
  | { readonly kind: 'probe' }
  | { readonly kind: 'promote'; readonly reason: string }
  | { readonly kind: 'roll_back'; readonly cause: CanaryCause; readonly reason: string };

const WAIT: Verdict = Object.freeze({ kind: 'wait' });

export function judge(evidence: Evidence): Verdict {
  const { canaries, elapsedMs, promoteAfterMs } = evidence;
  const lost = canaries.find(({ life }) => life === 'lost');
  if (lost !== undefined) {
    return rollBack('proxy_lost', `canary ${lost.proxy} is gone: ${lost.problem ?? 'silent'}`);
  }
  const refusing = canaries.find(({ serving }) => serving === 'rejected');
  if (refusing !== undefined) {
    return rollBack('rejected', `canary ${refusing.proxy} refuses it: ${refusing.problem ?? ''}`);
  }
  if (canaries.every(({ dial }) => dial === 'failing')) {
    const [first] = canaries;
    const text = `no canary can connect to the server: ${first?.problem ?? ''}`;
    return rollBack('dial_failures', text);
  }
  const tried = sum(canaries);
  const worse = worseThan(tried, evidence);
  if (worse !== undefined) return rollBack('errors', worse);
  if (elapsedMs < promoteAfterMs) return WAIT;
  const late = canaries.find(({ serving }) => serving === 'told');
  if (late !== undefined) {
    if (elapsedMs < promoteAfterMs + JUDGEMENT.applyGraceMs) return WAIT;
    return rollBack('not_applied', `canary ${late.proxy} does not serve it yet`);
  }
  const failing = canaries.find(({ dial }) => dial === 'failing');
  if (failing !== undefined) {
    const text = `canary ${failing.proxy} cannot connect to the server: ${failing.problem ?? ''}`;
    return rollBack('dial_failures', text);
  }
  if (tried.queries >= JUDGEMENT.queriesMin) return { kind: 'promote', reason: told(tried) };
  if (canaries.every(({ dial }) => dial === 'connected')) {
    return { kind: 'promote', reason: `every canary is connected, ${told(tried)}` };
  }
  return { kind: 'probe' };
}

export function rollBack(
  cause: CanaryCause,
  reason: string,
): Extract<Verdict, { kind: 'roll_back' }> {
  return { kind: 'roll_back', cause, reason };
}

export function sum(proxies: readonly Counts[]): Counts {
  const total = (counts: (one: Counts) => number) =>
    proxies.reduce((all, one) => all + counts(one), 0);
  return { queries: total(({ queries }) => queries), errors: total(({ errors }) => errors) };
}

/** The part of answers that were errors; a client that was refused has asked nothing. */
export function errorRate({ queries, errors }: Counts): number {
  return errors === 0 ? 0 : errors / Math.max(queries, errors);
}

function worseThan(tried: Counts, { others, before }: Evidence): string | undefined {
  const { attemptsMin, errorsMin, margin } = JUDGEMENT;
  const answers = Math.max(tried.queries, tried.errors);
  if (answers < attemptsMin || tried.errors < errorsMin) return undefined;
  const rest = sum(others);
  const usual = Math.max(errorRate(rest), errorRate(before));
  if (errorRate(tried) <= usual + margin) return undefined;
  return `${told(tried)} at the canaries; ${told(rest)} at the others, ${told(before)} before`;
}

function told({ queries, errors }: Counts): string {
  return `${errors} errors in ${queries} queries`;
}
