/**
 * `dbbouncer rebuild`: has a running control plane make what its queries see anew from the events,
 * and shows how far that is. Leaves: how it is done to the control plane.
 */
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Environment } from '@dbbouncer/shared/settings/resolve.ts';
import { Progress } from './progress.ts';
import { RestClient } from './rest-client.ts';
import type { Json } from './rest-client.ts';

export interface RebuildOptions {
  /** URL of the control plane. */
  readonly api?: string | undefined;
  readonly apiKeyFile?: string | undefined;
}

/** Of logs of many millions of events. */
const ENDS_WITHIN_MS = 3_600_000;
const LOOK_AFTER_MS = 500;

/** @throws SETTINGS_INVALID without a URL or a key; Error for what the API refuses */
export async function runRebuild(options: RebuildOptions, env: Environment): Promise<void> {
  const { api } = options;
  if (api === undefined) {
    throw sharedErrors.fail('SETTINGS_INVALID', 'rebuild needs --api URL.');
  }
  const client = new RestClient({ ...options, api }, env);
  const progress = new Progress('events', process.stderr, systemClock, 1);
  const end = new AbortController();
  const watching = watch(client, progress, end.signal);
  try {
    const answer = await client.run('/read-models/rebuild', ENDS_WITHIN_MS);
    end.abort();
    await watching;
    progress.end();
    process.stdout.write(wordsFor(answer));
  } finally {
    end.abort();
    progress.end();
  }
}

async function watch(client: RestClient, progress: Progress, end: AbortSignal): Promise<void> {
  for (;;) {
    await new Promise<void>((resolve) => {
      const timer = systemClock.after(LOOK_AFTER_MS, resolve);
      end.addEventListener('abort', () => {
        timer.cancel();
        resolve();
      });
    });
    if (end.aborted) return;
    // What keeps it from being asked keeps the rebuild from being answered, which tells it.
    const now = await client.get('/read-models').catch(() => undefined);
    const done = now?.['rebuilt_up_to'];
    if (typeof done === 'number') progress.update(done, Number(now?.['position']));
  }
}

function wordsFor({ position, mended }: Json): string {
  const rebuilt = `The read models are those of event ${String(position)} again.\n`;
  if (mended === null || mended === undefined) return `${rebuilt}Nothing was amiss in them.\n`;
  const { table, row, field, reason } = mended as Record<string, string | null>;
  const place = [table, row, field].filter((part) => part !== null).join(', ');
  return `${rebuilt}Mended, the first of what was amiss: ${place}: ${reason}.\n`;
}
