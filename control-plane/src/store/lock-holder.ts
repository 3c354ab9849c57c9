/**
 * Which process holds a lock on a file that we cannot get, for the person who has to end it. Linux
 * tells; elsewhere nobody is named.
 * Source: proc(5), /proc/locks: number, kind, mode, access, pid, major:minor:inode, range.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';

const LOCK = /^\d+: \S+ +\S+ +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /;

/**
 * As in `process 1234 (sqlite3 dbbouncer.db)`; nothing when none of the files is locked, or nobody
 * knows.
 */
export function lockHolderOf(files: readonly string[]): string | undefined {
  const inodes = new Set(files.map(inodeOf));
  for (const line of read('/proc/locks').split('\n')) {
    const [, pid = '', inode] = LOCK.exec(line) ?? [];
    if (inode === undefined || !inodes.has(inode) || Number(pid) === process.pid) continue;
    const name = programOf(pid);
    return name === '' ? `process ${pid}` : `process ${pid} (${name})`;
  }
  return undefined;
}

/**
 * Its program and what that was told first. Not `comm`, which of Node is the name of a thread; and
 * no more words, among which there may be a secret.
 */
function programOf(pid: string): string {
  const words = read(`/proc/${pid}/cmdline`).split('\0', 2);
  return words
    .map((word) => basename(word))
    .join(' ')
    .trim();
}

function inodeOf(file: string): string | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino.toString();
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Another system, or the process has ended meanwhile.
    return '';
  }
}
