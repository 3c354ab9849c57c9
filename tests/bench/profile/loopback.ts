/**
 * What one system call on a loopback connection takes on this machine, in microseconds of
 * processor time.
 * Children get the ends of a connection as files and read and write them without an event loop:
 * one has both ends, so that it never waits; then two have one end each, and one or both of them
 * wait for the other.
 */
import { spawn } from 'node:child_process';
import type { StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Calls } from './system-calls.ts';

const MAIN = join(import.meta.dirname, 'loopback-main.ts');

export interface Prices extends Calls {
  /** A write to somebody who sleeps on another core and has to be woken. */
  readonly wakingWrites: number;
}

export async function priceOfCalls(): Promise<Prices> {
  const alone = await withConnection(({ near, far }) => [
    play('alone', { stdio: ['ignore', 'pipe', 'inherit', near, far] }),
  ]);
  const { reads, writes } = JSON.parse(alone[0] ?? '') as Pick<Calls, 'reads' | 'writes'>;
  // As its standard input, a socket is one that blocks.
  const rounds = await withConnection(({ near, far }) => [
    play('calls', { stdio: [near, 'pipe', 'inherit'] }),
    play('answers', { stdio: [far, 'pipe', 'inherit'] }),
  ]);
  const waking = await withConnection(({ near, far }) => [
    play('wakes', { stdio: ['ignore', 'pipe', 'inherit', near], core: 0 }),
    play('is woken', { stdio: [far, 'pipe', 'inherit'], core: 1 }),
  ]);
  const round = Math.min(...rounds.map(Number));
  const sleeps = Math.max(0, round - reads - writes);
  return { reads, writes, sleeps, wakingWrites: Number(waking[0]) };
}

type Role = 'alone' | 'calls' | 'answers' | 'wakes' | 'is woken';

interface PlayOptions {
  readonly stdio: StdioOptions;
  /** Where it is to run, if there are so many. */
  readonly core?: number;
}

/** What it prints. */
async function play(role: Role, { stdio, core }: PlayOptions): Promise<string> {
  const pinned = core !== undefined && availableParallelism() > core;
  const child = pinned
    ? spawn('taskset', ['-c', String(core), process.execPath, MAIN, role], { stdio })
    : spawn(process.execPath, [MAIN, role], { stdio });
  let words = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (words += text));
  await once(child, 'close');
  return words;
}

/** @returns what the players print, in order */
async function withConnection(
  players: (ends: Connection) => readonly Promise<string>[],
): Promise<readonly string[]> {
  const ends = await connection();
  try {
    return await Promise.all(players(ends));
  } finally {
    ends.close();
  }
}

interface Connection {
  readonly near: Socket;
  readonly far: Socket;
  close(): void;
}

async function connection(): Promise<Connection> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const near = connect({ host: '127.0.0.1', port, noDelay: true });
  const [far] = (await once(server, 'connection')) as [Socket];
  if (near.connecting) await once(near, 'connect');
  near.pause();
  const close = () => {
    for (const each of [near, far]) each.destroy();
    server.close();
  };
  return { near, far, close };
}
