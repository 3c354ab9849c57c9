/**
 * A loopback port for a server of a test, that stays free while that server is down.
 * Ports the kernel gives to outgoing connections are avoided: one of them could be taken while a
 * killed server is away, and a client that dials it again and again can end up connected to itself.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const LOWEST_PORT = 20_000;
const LINUX_DEFAULT_EPHEMERAL_PORT = 32_768;
const ATTEMPTS_MAX = 50;

/** Free on 127.0.0.1 at the moment; somebody else may still take it before you do. */
export async function freePort(): Promise<number> {
  const end = Math.max(firstEphemeralPort(), LOWEST_PORT + 1_000);
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const port = randomInt(LOWEST_PORT, end);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${LOWEST_PORT} and ${end} in ${ATTEMPTS_MAX} attempts`);
}

function firstEphemeralPort(): number {
  try {
    const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
    return Number.parseInt(range, 10);
  } catch {
    return LINUX_DEFAULT_EPHEMERAL_PORT;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
      probe.close(() => resolve(true)),
    );
  });
}
