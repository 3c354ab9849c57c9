/**
 * The line that shows what the demo is doing: rewritten in place on a terminal, else a new line now
 * and then.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Load, LoadFigures } from './load.ts';

const TERMINAL_EVERY_MS = 1_000;
const FILE_EVERY_MS = 5_000;

export interface StatusSource {
  readonly loads: readonly Load[];
  /** Asks PostgreSQL how many connections the proxy holds at the moment. */
  readonly serverConnections: () => Promise<number>;
  readonly clock: Clock;
  readonly out: NodeJS.WriteStream;
}

/** Prints until the returned function is called. */
export function showStatus(source: StatusSource): () => void {
  const { loads, clock, out } = source;
  const everyMs = out.isTTY ? TERMINAL_EVERY_MS : FILE_EVERY_MS;
  let before = loads.map((load) => load.figures);
  let beforeMs = clock.nowMs();
  let timer: Timer | undefined;
  let phase: 'showing' | 'ended' = 'showing';

  const show = async (): Promise<void> => {
    const connections = await source.serverConnections().catch(() => undefined);
    const now = loads.map((load) => load.figures);
    const nowMs = clock.nowMs();
    const seconds = (nowMs - beforeMs) / 1000;
    const rates = loads.map(({ tenant }, i) => ({
      tenant: tenant.id,
      perSecond: ((now[i]?.queries ?? 0) - (before[i]?.queries ?? 0)) / seconds,
    }));
    before = now;
    beforeMs = nowMs;
    if (phase === 'ended') return;
    const line = statusLine(clock.timestamp(), rates, now, connections);
    out.write(out.isTTY ? `\r\u001B[K${line}` : `${line}\n`);
    next();
  };
  const next = (): void => {
    timer = clock.after(everyMs, () => void show());
  };
  next();
  return () => {
    phase = 'ended';
    timer?.cancel();
    if (out.isTTY) out.write('\n');
  };
}

export interface Rate {
  readonly tenant: string;
  readonly perSecond: number;
}

/** @param connections nothing when the server did not answer. */
export function statusLine(
  timestamp: string,
  rates: readonly Rate[],
  figures: readonly LoadFigures[],
  connections: number | undefined,
): string {
  const clients = figures.reduce((sum, { clients }) => sum + clients, 0);
  const errors = figures.reduce((sum, { errors }) => sum + errors, 0);
  const parts = [
    timestamp.slice(11, 19),
    ...rates.map(({ tenant, perSecond }) => `${tenant} ${perSecond.toFixed(0)} queries/s`),
    `${clients} clients share ${connections ?? '?'} server connections`,
  ];
  if (errors > 0) parts.push(`${errors} errors`);
  return parts.join('  ');
}
