/**
 * The whole config as a proxy fetches it, together with the place in the delta log from which to
 * follow. A proxy takes the config, then follows the log from `logSequence + 1`, or from 1 when the
 * log's `createdAt` is not `logCreatedAt` (it was made anew): `applyDelta` tells duplicates and
 * gaps by position either way.
 */
import { z } from 'zod';
import { finish } from '../kernel/steps.ts';
import type { Steps } from '../kernel/steps.ts';
import { configJsonSchema, configOf, configPieces, frameOf, tenantsIn } from './config-text.ts';
import type { RoutingConfig } from './routing-config.ts';

export interface ConfigSnapshot {
  /** `LogState.createdAt` of the delta log that `logSequence` counts in. */
  readonly logCreatedAt: string;
  /** Sequence of the last delta that is part of `config`; 0 when none is. */
  readonly logSequence: number;
  readonly config: RoutingConfig;
}

const headSchema = {
  logCreatedAt: z.string(),
  logSequence: z.int().min(0),
};
const snapshotSchema = z.strictObject({ ...headSchema, config: configJsonSchema });

export function encodeSnapshot(snapshot: ConfigSnapshot): string {
  return Array.from(snapshotPieces(snapshot), String).join('');
}

/** The text of `encodeSnapshot` in pieces of some 100 kB, each good until the next is asked for. */
export function* snapshotPieces(snapshot: ConfigSnapshot): Iterable<Buffer> {
  const { logCreatedAt, logSequence, config } = snapshot;
  const head = { logCreatedAt, logSequence } satisfies z.input<z.ZodObject<typeof headSchema>>;
  yield Buffer.from(`${JSON.stringify(head).slice(0, -1)},"config":`);
  yield* configPieces(config);
  yield Buffer.from('}');
}

/** @throws ZodError or SyntaxError when the text is not a snapshot of a known format. */
export function decodeSnapshot(text: string): ConfigSnapshot {
  return finish(snapshotFrom(Buffer.from(text)));
}

/** What `decodeSnapshot` reads, with rests. @throws the same */
export function* snapshotFrom(data: Buffer): Steps<ConfigSnapshot> {
  const { config, ...head } = snapshotSchema.parse(JSON.parse(frameOf(data)));
  const { tenants, ...rest } = configOf(config);
  return { ...head, config: { ...rest, tenants: (yield* tenantsIn(data)) ?? tenants } };
}

const snapshotHeadSchema = z.object({
  ...headSchema,
  config: z.object({ epoch: z.int().min(0), position: z.int().min(0) }),
});
export type SnapshotHead = Readonly<z.infer<typeof snapshotHeadSchema>>;

/** Which state a snapshot holds, without looking at its tenants. @throws as decodeSnapshot */
export function decodeSnapshotHead(data: Buffer): SnapshotHead {
  return snapshotHeadSchema.parse(JSON.parse(frameOf(data)));
}

const snapshotAnswerSchema = z.strictObject({ epoch: z.int().min(0), position: z.int().min(0) });

/** The answer to `SUBJECTS.snapshotRequest`: what `SUBJECTS.snapshotObject` holds by now. */
export type SnapshotAnswer = Readonly<z.infer<typeof snapshotAnswerSchema>>;

export function encodeSnapshotAnswer(answer: SnapshotAnswer): string {
  return JSON.stringify(answer satisfies z.input<typeof snapshotAnswerSchema>);
}

/** @throws ZodError or SyntaxError when the text is not an answer. */
export function decodeSnapshotAnswer(text: string): SnapshotAnswer {
  return snapshotAnswerSchema.parse(JSON.parse(text));
}
