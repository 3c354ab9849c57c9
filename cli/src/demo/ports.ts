/**
 * Which ports to listen on when nobody has to know them beforehand.
 * Ports that the kernel gives to outgoing connections are avoided: one of them could be taken while
 * a killed server is away, and a client that dials it again and again can get connected to itself.
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const LOWEST_PORT = 20_000;
const LINUX_FIRST_EPHEMERAL_PORT = 32_768;
const ATTEMPTS_MAX = 50;

/** A port that was free on `host` a moment ago; another program may still take it. */
export async function freePort(host: string): Promise<number> {
  const end = Math.max(firstEphemeralPort(), LOWEST_PORT + 1_000);
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const port = randomInt(LOWEST_PORT, end);
    if (await isFree(port, host)) return port;
  }
  throw new Error(`no free port between ${LOWEST_PORT} and ${end} in ${ATTEMPTS_MAX} attempts`);
}

/** `wanted` when it is free, else another one. */
export async function freePortLike(wanted: number, host: string): Promise<number> {
  return (await isFree(wanted, host)) ? wanted : freePort(host);
}

function firstEphemeralPort(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10);
  } catch {
    return LINUX_FIRST_EPHEMERAL_PORT;
  }
}

async function isFree(port: number, host: string): Promise<boolean> {
  const probe = createServer().listen({ port, host, exclusive: true });
  try {
    await once(probe, 'listening');
  } catch {
    return false;
  }
  probe.close();
  await once(probe, 'close');
  return true;
}
