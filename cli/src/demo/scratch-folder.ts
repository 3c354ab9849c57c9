/**
 * A temporary folder that does not outlive this process, and neither do the processes registered
 * with it, not even after kill -9: a guard shell holds the reading end of a pipe, and when the pipe
 * closes it cleans up.
 * Owns: the folder, the guard. Leaves: starting and stopping the processes to whoever registers
 * them.
 */
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface ScratchFolder {
  readonly path: string;
  /** When this process ends without `forget`, `pid` is sent SIGQUIT, and SIGKILL 5 s later. */
  guard(pid: number): void;
  /** To be called as soon as `pid` has ended: its number may be given to another process. */
  forget(pid: number): void;
  /**
   * Deletes the folder with all in it. The guard ends; processes still registered are killed by it.
   */
  remove(): Promise<void>;
}

/**
 * Reads "guard PID" and "forget PID" lines until its standard input closes, which a process that
 * dies in any way cannot prevent. A process counts as gone when it is a zombie that init has not
 * reaped yet. The removal is tried several times, since a dying process may still write.
 */
const GUARD_SCRIPT = `
runs() {
  kill -0 "$1" 2>/dev/null || return 1
  [ -r "/proc/$1/stat" ] || return 0
  read -r _ _ state _ <"/proc/$1/stat" && [ "$state" != Z ]
}
pids=' '
while read -r verb pid; do
  case "$verb" in
    guard) pids="$pids$pid " ;;
    forget) case "$pids" in *" $pid "*) pids="\${pids%% $pid *} \${pids#* $pid }" ;; esac ;;
  esac
done
for pid in $pids; do kill -QUIT "$pid" 2>/dev/null; done
tries=0
for pid in $pids; do
  while runs "$pid" && [ "$tries" -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
  runs "$pid" && kill -KILL "$pid" 2>/dev/null
done
tries=0
while [ -e "$1" ] && [ "$tries" -lt 50 ]; do
  rm -rf "$1" 2>/dev/null
  [ -e "$1" ] && sleep 0.1
  tries=$((tries + 1))
done
`;

/** Whether any user of this machine can reach what lies at `path`. */
export async function isReachableByOthers(path: string): Promise<boolean> {
  const others = (await stat(path)).mode & 0o005;
  if (others !== 0o005) return false;
  const parent = dirname(path);
  return parent === path || (await isPassableByOthers(parent));
}

async function isPassableByOthers(folder: string): Promise<boolean> {
  if (((await stat(folder)).mode & 0o001) === 0) return false;
  const parent = dirname(folder);
  return parent === folder || isPassableByOthers(parent);
}

/** The system's temporary folder, or the usual one where other users could not reach the former. */
async function parentFolder(access: 'owner' | 'everyone'): Promise<string> {
  const usual = tmpdir();
  if (access === 'owner' || (await isPassableByOthers(usual))) return usual;
  return '/tmp';
}

/**
 * Makes an empty folder below the system's temporary folder.
 * @param access `everyone` when another user's processes will work in folders below it.
 */
export async function createScratchFolder(access: 'owner' | 'everyone'): Promise<ScratchFolder> {
  const path = await mkdtemp(join(await parentFolder(access), 'dbbouncer-'));
  if (access === 'everyone') await chmod(path, 0o711);
  // A session of its own: Ctrl-C in the terminal must not end the guard before its work is done.
  const guard = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'dbbouncer-guard', path], {
    cwd: '/',
    detached: true,
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise<void>((resolve) => {
    guard.once('exit', () => resolve());
    guard.once('error', () => resolve());
  });
  guard.stdin.on('error', () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return Object.freeze({
    path,
    guard: (pid: number) => void guard.stdin.write(`guard ${pid}\n`),
    forget: (pid: number) => void guard.stdin.write(`forget ${pid}\n`),
    async remove() {
      guard.ref();
      guard.stdin.end();
      await ended;
      await rm(path, { recursive: true, force: true });
    },
  });
}
