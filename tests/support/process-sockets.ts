/**
 * What the system knows of a process: its children, its state, the TCP connections it has
 * accepted. Only where there is a /proc.
 * Source: proc(5), /proc/[pid]/{stat,fd,task} and /proc/net/tcp.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { eventually } from './eventually.ts';

export function childrenOf(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.flatMap((task) => {
    const list = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
    return list === '' ? [] : list.split(' ').map(Number);
  });
}

/** SIGSTOP, and resolves when it stands still. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await eventually(`process ${pid} stands still`, () => stateOf(pid) === 'T');
}

/** One letter, T for stopped. */
function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.charAt(stat.lastIndexOf(')') + 2);
}

/** The clients' ports of the connections to `port` that the process has accepted and still has. */
export function acceptedBy(pid: number, port: number): Set<number> {
  const inodes = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(pid, fd))?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  const accepted = connections().filter(
    ({ local, state, inode }) => local === port && state !== LISTENS && inodes.has(inode),
  );
  return new Set(accepted.map(({ remote }) => remote));
}

/** Connections that nobody has accepted yet. */
export function queuedAt(port: number): number {
  return connections().find(({ local, state }) => local === port && state === LISTENS)?.queued ?? 0;
}

const LISTENS = '0A';

/** Of IPv4; of a listening socket `queued` is how many wait to be accepted. */
function connections() {
  const [, ...lines] = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [, local = '', remote = '', state = '', queues = '', , , , , inode = ''] = line
      .trim()
      .split(/\s+/);
    return { local: portOf(local), remote: portOf(remote), state, inode, queued: portOf(queues) };
  });
}

function linkOf(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    // It was closed while the list was read.
    return '';
  }
}

/** The number behind the colon, as of an address such as 0100007F:1F90. */
function portOf(address: string): number {
  return Number.parseInt(address.slice(address.indexOf(':') + 1), 16);
}
