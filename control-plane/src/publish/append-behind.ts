/** Appends by who believes to know where a log ends: another writer must not be written behind. */
import type { AppendResult, BusLog } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';

/** Nothing when the log ends elsewhere. @throws as `BusLog.append` */
export async function appendBehind(
  log: BusLog,
  expectedLastSequence: number,
  id: string,
  data: Uint8Array,
): Promise<AppendResult | undefined> {
  try {
    return await log.append(id, data, { expectedLastSequence });
  } catch (error) {
    if (sharedErrors.is(error) && error.code === 'BUS_SEQUENCE_CONFLICT') return undefined;
    throw error;
  }
}
