/** The [users] section of PgBouncer: what is set for a user in every database. */
import type { Findings } from './findings.ts';
import type { IniSetting } from './ini.ts';
import { readPairs } from './pairs.ts';
import type { Pair } from './pairs.ts';
import { readPoolMode } from './pgbouncer-settings.ts';
import { whole } from './values.ts';

export interface UserSettings {
  readonly poolMode: string | undefined;
  readonly maxConnections: number | undefined;
  readonly maxClientConnections: number | undefined;
}

const TIMES = new Set([
  'query_timeout',
  'query_wait_timeout',
  'transaction_timeout',
  'idle_transaction_timeout',
  'client_idle_timeout',
]);

export function readUserSettings(setting: IniSetting, findings: Findings): UserSettings {
  const { name, value, spot, valueColumn } = setting;
  const reading = readPairs(value);
  if (reading.outcome === 'refused') {
    findings.fault({ ...spot, column: valueColumn + reading.column - 1 }, reading.message);
    return { poolMode: undefined, maxConnections: undefined, maxClientConnections: undefined };
  }
  const pairs = new Map(reading.pairs.map((pair) => [pair.key, pair]));
  const number = (key: string): number | undefined => {
    const pair = pairs.get(key);
    const read = pair && whole(pair.value);
    if (read?.outcome === 'value') return Number(read.value) || undefined;
    if (pair !== undefined) fault(setting, pair, 'is no whole number', findings);
    return undefined;
  };
  for (const pair of reading.pairs) {
    if (TIMES.has(pair.key)) {
      const text = `${pair.key} of user "${name}": times are those of the tenant`;
      findings.note('lost', spot, text);
    } else if (!KNOWN.has(pair.key)) {
      fault(setting, pair, 'is no setting of a user', findings);
    }
  }
  const size = number('pool_size');
  return {
    poolMode: poolModeIn(setting, pairs.get('pool_mode'), findings),
    maxConnections:
      number('max_user_connections') ??
      (size === undefined ? undefined : size + (number('reserve_pool_size') ?? 0)),
    maxClientConnections: number('max_user_client_connections'),
  };
}

const KNOWN = new Set([
  'pool_mode',
  'pool_size',
  'reserve_pool_size',
  'max_user_connections',
  'max_user_client_connections',
]);

function poolModeIn(
  setting: IniSetting,
  pair: Pair | undefined,
  findings: Findings,
): string | undefined {
  if (pair === undefined) return undefined;
  const read = readPoolMode(pair.value);
  if (read.outcome !== 'value') {
    fault(setting, pair, read.outcome === 'lost' ? read.why : 'is nothing', findings);
    return undefined;
  }
  const text = `pool_mode of user "${setting.name}": ${read.differs ?? ''}`;
  if (read.differs !== undefined) findings.note('differs', setting.spot, text);
  return String(read.value);
}

function fault({ spot, valueColumn }: IniSetting, pair: Pair, why: string, to: Findings): void {
  to.fault({ ...spot, column: valueColumn + pair.column - 1 }, `${pair.key} ${why}`);
}
