/** The thread that reading-thread.ts starts: reads what it is given, posts it back, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { readSnapshot } from './judge.ts';
import { toPosted } from './reading-thread.ts';

const posted = toPosted(await readSnapshot(workerData as Uint8Array));
parentPort?.postMessage(posted, posted.kind === 'parts' ? [...posted.tenants.buffers] : []);
