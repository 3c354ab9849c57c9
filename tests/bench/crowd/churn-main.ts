/** Clients that come and leave, in a process of their own: prints what came of it as JSON. */
import { runChurn } from './churn-run.ts';
import type { ChurnPlan } from './churn-run.ts';

const result = await runChurn(JSON.parse(process.argv[2] ?? '') as ChurnPlan);
process.stdout.write(`${JSON.stringify(result)}\n`);
