/**
 * A crowd in a process of its own, so that what it uses is not counted with anybody else's.
 * It says `in` when everybody has come, waits for a line, asks, and prints what came of it as JSON.
 */
import { once } from 'node:events';
import { CrowdRun } from './crowd-run.ts';
import type { CrowdPlan } from './crowd-run.ts';

const run = new CrowdRun(JSON.parse(process.argv[2] ?? '') as CrowdPlan);
await run.come();
process.stdout.write('in\n');
await once(process.stdin, 'data');
process.stdout.write(`${JSON.stringify(await run.ask())}\n`);
process.stdin.destroy();
