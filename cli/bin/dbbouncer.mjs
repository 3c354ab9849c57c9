#!/usr/bin/env node
/**
 * Starts the command line on a Node that can run it, whatever Node started this file.
 * The sources are TypeScript that Node 24 runs as it stands; an older one hands over to the Node 24
 * that `npm install` brought (package `node`). Written for old versions: no syntax newer than
 * Node 12.
 * Owns: which Node runs, passing signals and the exit code through.
 * Leaves: everything else to src/main.ts.
 */
import { spawn } from 'child_process';
import { createRequire } from 'module';
import { dirname, join } from 'path';
import { fileURLToPath } from 'url';

/** The first release that binds ports and socket files for others to listen on (BoundSocket). */
const NEEDED = [24, 21];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2'];

const here = dirname(fileURLToPath(import.meta.url));

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1]);
}

function findNode() {
  try {
    const packageFile = createRequire(import.meta.url).resolve('node/package.json');
    return join(dirname(packageFile), 'bin', 'node');
  } catch {
    return undefined;
  }
}

function fail(text) {
  process.stderr.write(`dbbouncer: ${text}\n`);
  process.exit(1);
}

/** The channel tells the other process when this one is killed; it then stops in order. */
function handOver(node) {
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  child.on('error', (error) =>
    fail(`cannot run ${node}: ${error.message}; run npm install again.`),
  );
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of SIGNALS) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

if (isNewEnough(process.versions.node)) {
  import('../src/main.ts').then(({ main }) => main());
} else {
  const node = findNode();
  if (node === undefined) {
    const root = dirname(dirname(here));
    fail(`needs Node.js ${NEEDED.join('.')} or newer, and this is ${process.versions.node}.
  Run "npm install" in ${root}: it brings the right one along.`);
  } else {
    handOver(node);
  }
}
