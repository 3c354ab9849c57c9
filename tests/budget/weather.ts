/**
 * What kind of world a seed makes: which accidents happen in it and how often, how the network is
 * when it is bad, how clocks go, how limits change. Worlds differ much from one another, so that
 * each accident also meets those that a mean world would hide behind others.
 */
import type { Chance } from './chance.ts';

export const ACCIDENTS = [
  'kill',
  'stop',
  'suspend',
  'join',
  'leave',
  'control_ends',
  'control_is_suspended',
  'cut_proxy',
  'cut_control',
  'network',
  'closing',
  'limit',
  'limit_there_and_back',
  'tenant',
  'server',
  'all_want',
] as const;
export type Accident = (typeof ACCIDENTS)[number];

/** Probabilities, each for one message. */
export interface BadNetwork {
  readonly lost: number;
  readonly repeated: number;
  readonly slow: number;
  /** Seconds late. */
  readonly late: number;
}

export interface Weather {
  /** Of an accident, in each step. */
  readonly accidents: number;
  /** Of each kind; those that are named twice happen twice as often. */
  readonly kinds: readonly Accident[];
  /** That a proxy's clients want something else, in each step. */
  readonly moods: number;
  /** That they want nothing. */
  readonly modesty: number;
  readonly network: BadNetwork;
  /** That a proxy hears seconds late of a config. */
  readonly slowConfigs: number;
  /** How a limit changes: to any other, or by one. */
  readonly limits: 'any' | 'by_one';
  readonly proxies: number;
  readonly tenants: number;
  readonly maxConnections: number;
  /** A clock goes as wrong as it may, or by chance. */
  readonly clocks: 'extreme' | 'any';
  readonly expectedProxies: number | undefined;
}

export function weatherOf(chance: Chance): Weather {
  const variety = chance.oneOf([0.1, 0.3, 0.6]) ?? 0;
  const kinds = ACCIDENTS.filter(() => chance.happens(variety));
  const often = chance.oneOf(ACCIDENTS) ?? 'kill';
  return {
    accidents: chance.oneOf([0.003, 0.008, 0.008, 0.02]) ?? 0,
    kinds: [...kinds, often, often],
    moods: chance.oneOf([0.002, 0.006, 0.03]) ?? 0,
    modesty: chance.oneOf([0.1, 0.4, 0.7]) ?? 0,
    network: {
      lost: chance.oneOf([0.02, 0.15, 0.3]) ?? 0,
      repeated: chance.oneOf([0.02, 0.1, 0.4]) ?? 0,
      slow: chance.oneOf([0.1, 0.2, 0.5]) ?? 0,
      late: chance.oneOf([0, 0.03, 0.15]) ?? 0,
    },
    slowConfigs: chance.oneOf([0, 0.1, 0.7]) ?? 0,
    limits: chance.happens(0.5) ? 'any' : 'by_one',
    proxies: chance.whole(1, 5),
    tenants: chance.whole(1, 3),
    maxConnections: chance.oneOf([3, 6, 12]) ?? 12,
    clocks: chance.happens(0.5) ? 'extreme' : 'any',
    expectedProxies: chance.happens(0.5) ? undefined : chance.whole(1, 6),
  };
}
