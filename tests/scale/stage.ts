/**
 * Real processes with a log of a given size: a control plane and its NATS server, or both planes in
 * one process; proxies beside it.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { settled } from '../bench/settled.ts';
import { DbbouncerProcess } from '../support/dbbouncer-process.ts';
import type { DbbouncerCommand } from '../support/dbbouncer-process.ts';
import { startNatsServer } from '../support/nats-server.ts';
import { logOfSize, MASTER_KEY } from './made-log.ts';
import type { Scale } from './scale-row.ts';

export type Planes = 'apart' | 'in one process';

export interface Stage {
  readonly plane: DbbouncerProcess;
  /** Empty with both planes in one process. */
  readonly natsUrl: string;
  /** Starts a proxy, ready; with both planes in one process that is the one. */
  startProxy(): Promise<DbbouncerProcess>;
  /** The body of an answer. @throws Error when it is no success */
  call(method: string, path: string, body?: unknown): Promise<string>;
  stop(): Promise<void>;
}

const API_KEY = 'a-key-to-measure-with-0123456789';
const ENV = { DBBOUNCER_MASTER_KEY: MASTER_KEY, DBBOUNCER_API_KEY: API_KEY };
/** A hundred thousand events are copied to the bus in half a minute. */
const LOOKS_MAX = 20;

export interface StageOptions {
  readonly planes?: Planes;
  readonly args?: readonly string[];
  readonly durability?: 'full' | 'normal';
}

/** Settled: all that is in the log has been published. `empty`: without any. */
export async function openStage(
  size: Scale | 'empty',
  { planes = 'apart', args = [], durability = 'full' }: StageOptions = {},
): Promise<Stage> {
  const env = { ...ENV, DBBOUNCER_DURABILITY: durability };
  const nats = planes === 'apart' ? await startNatsServer() : undefined;
  const flags = [...args, ...(nats === undefined ? [] : ['--nats', nats.url])];
  const start = (command: DbbouncerCommand, prepare = async (_folder: string) => {}) =>
    DbbouncerProcess.start({ command, args: flags, env, prepare });
  const prepare = async (folder: string) => {
    if (size !== 'empty') cpSync(logOfSize(size), join(folder, 'data'), { recursive: true });
  };
  const plane = await start(planes === 'apart' ? 'control-plane' : 'up', prepare);
  const proxies: DbbouncerProcess[] = [];
  for (let look = 0; look < LOOKS_MAX && (await settled(plane.pid)) === 'busy'; look += 1);
  return {
    plane,
    natsUrl: nats?.url ?? '',
    startProxy: async () => {
      if (planes !== 'apart') return plane;
      const proxy = await start('proxy');
      proxies.push(proxy);
      return proxy;
    },
    call: (method, path, body) => call(plane.apiUrl, method, path, body),
    stop: async () => {
      await Promise.all(proxies.filter((proxy) => proxy.isRunning).map((proxy) => proxy.stop()));
      await plane.stop();
      await nats?.stop();
    },
  };
}

async function call(url: string, method: string, path: string, body?: unknown): Promise<string> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${API_KEY}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.ok) return text;
  throw new Error(`${method} ${path} was answered with ${response.status}: ${text}`);
}
