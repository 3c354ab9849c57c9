/** Crowds of clients that other processes play. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { ChurnPlan, ChurnResult } from './churn-run.ts';
import type { CrowdPlan, CrowdResult } from './crowd-run.ts';

const MAIN = join(import.meta.dirname, 'crowd-main.ts');
const CHURN_MAIN = join(import.meta.dirname, 'churn-main.ts');

export interface Crowd {
  /** Lets them ask and leave. */
  ask(): Promise<CrowdResult>;
  /** Ends it at any time. */
  kill(): void;
}

/** Returns when everybody is in or has failed. @throws Error with its last words when it ends. */
export async function gather(plan: CrowdPlan): Promise<Crowd> {
  const child = spawn(process.execPath, [MAIN, JSON.stringify(plan)]);
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the crowd has ended: ${words}`);
    return value;
  };
  await next();
  return {
    ask: async () => {
      const closed = once(child, 'close');
      child.stdin.write('ask\n');
      const result = JSON.parse(await next()) as CrowdResult;
      await closed;
      return result;
    },
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Clients that come, ask once and leave. @throws Error with the first failure */
export async function churn(plan: ChurnPlan): Promise<ChurnResult> {
  const args = [CHURN_MAIN, JSON.stringify(plan)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as ChurnResult;
}
