/** How refusals appear in the API description: the same form under each status. */
import { HTTP_STATUS, problemSchema, PROBLEM_CONTENT_TYPE } from './problem.ts';

/** What any route that needs a key can answer. */
const EVERYWHERE = [401, 403, 429, 503];

type ProblemResponse = {
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: typeof problemSchema }>>;
};

/**
 * The responses for `statuses` and for those every guarded route has, with the codes that come with
 * each.
 */
export function problems(...statuses: readonly number[]): Record<number, ProblemResponse> {
  const all = [...new Set([...statuses, ...EVERYWHERE])];
  return Object.fromEntries(all.map((status) => [status, problemResponse(status)]));
}

export function problemResponse(status: number): ProblemResponse {
  const codes = Object.entries(HTTP_STATUS).filter(([, known]) => known === status);
  return {
    description: codes.map(([code]) => code).join(', '),
    content: { [PROBLEM_CONTENT_TYPE]: { schema: problemSchema } },
  };
}
