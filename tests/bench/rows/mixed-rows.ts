/**
 * The row of clients that are not alike: several drivers, protocols, names and time zones. What
 * brings a gain for 64 alike clients must not be lost on them.
 */
import type { Contender } from '../contender.ts';
import { connectDrivers } from '../drivers/drivers.ts';
import type { DriverGroup, Personality } from '../drivers/drivers.ts';
import { counted, moreThanTheirs, shareOfGain, value } from '../goals.ts';
import { pgbench } from '../pgbench.ts';
import type { Row, RowContext } from '../row.ts';

const PROTOCOLS = ['simple', 'extended', 'prepared'] as const;
const CLIENTS_OF_A_PGBENCH = 8;
const PGBENCHES = 6;
const ALIKE: Personality = { applicationName: 'bench', timeZone: 'UTC' };
const TIME_ZONES = ['Europe/Berlin', 'Asia/Tokyo'] as const;

export const MIXED_ROWS: readonly Row[] = [
  {
    key: 'drivers-64',
    title: '64 clients of several drivers, with different names and two time zones',
    unit: 'tps',
    better: 'more',
    goals: [
      shareOfGain('of the gain for alike clients remains', counted('tps alike'), value, {
        bar: 0.8,
      }),
      moreThanTheirs('tps', value, {}),
    ],
    direct: 'beside',
    stage: 'common',
    needs: 'prepared',
    turns: 'repeated',
    run: async (contender, context) => {
      const alike = await everybody(contender, context, () => ALIKE);
      const different = await everybody(contender, context, (index) => ({
        applicationName: `service-${index}`,
        timeZone: TIME_ZONES[index % TIME_ZONES.length] ?? 'UTC',
      }));
      return {
        value: different.tps,
        work: alike.transactions + different.transactions,
        counts: { 'tps alike': alike.tps },
      };
    },
  },
];

interface Total {
  readonly tps: number;
  readonly transactions: number;
}

/** 16 clients of drivers and 48 of pgbench in six groups, all at the same time. */
async function everybody(
  contender: Contender,
  { programs, seconds }: RowContext,
  personality: (index: number) => Personality,
): Promise<Total> {
  const drivers = await connectDrivers(contender, driverGroups(personality), seconds);
  const groups = Array.from({ length: PGBENCHES }, (_, index) => {
    const { applicationName, timeZone } = personality(index);
    const protocol = PROTOCOLS[index % PROTOCOLS.length] ?? 'simple';
    const run = {
      args: ['-S', '-M', contender.protocol ?? protocol],
      clients: CLIENTS_OF_A_PGBENCH,
      seconds,
      latencySampling: 0.01,
      env: { PGAPPNAME: applicationName, PGTZ: timeZone },
    };
    return pgbench(programs.pgbench, run, contender);
  });
  const beganMs = performance.now();
  const [ofDrivers, ofPgbench] = await Promise.all([drivers.ask(), Promise.all(groups)]);
  const tookSeconds = (performance.now() - beganMs) / 1_000;
  const transactions = ofPgbench.reduce((sum, each) => sum + each.transactions, ofDrivers);
  // Not the sum of what each says: who begins late has the machine for itself at the end.
  return { transactions, tps: transactions / tookSeconds };
}

/** After the groups of pgbench. */
function driverGroups(personality: (index: number) => Personality): readonly DriverGroup[] {
  const from = (index: number) => [personality(index), personality(index + 1)];
  return [
    { driver: 'pg', clients: 8, personality: from(PGBENCHES) },
    { driver: 'postgres.js', clients: 4, personality: from(PGBENCHES + 2) },
    { driver: 'psycopg', clients: 4, personality: from(PGBENCHES + 4) },
  ];
}
