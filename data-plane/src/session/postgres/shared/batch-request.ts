/** A client's batch that the lane is asked to run, and where it is then. */
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import type { BackendStatements } from '../prepared/backend-statements.ts';
import type { TextEffects } from '../sql/effects.ts';
import type { LaneBackend } from './lane-backend.ts';
import type { BatchClient, SharedBatch } from './shared-batch.ts';

export interface BatchRequest extends BatchClient {
  readonly effects: TextEffects;
  /** Whether it may be shared: that is known, or will be soon. */
  readonly judgement: 'harmless' | 'coming' | 'refused';
  /** What the connection must have set. */
  readonly vector: ParameterVector;
  /** What the client was told that the server reports. */
  readonly sharedKey: string;
  /**
   * The batch as a connection with these statements understands it; it may have so many of them.
   */
  render(statements: BackendStatements, expectedUs: number, statementsMax: number): SharedBatch;
  /** It runs there now. */
  placed(batch: SharedBatch, on: LaneBackend): void;
}
