/**
 * The whole config as a proxy fetches it, together with the place in the delta log from which to
 * follow. A proxy takes the config, then follows the log from `logSequence + 1`, or from 1 when the
 * log's `createdAt` is not `logCreatedAt` (it was made anew): `applyDelta` tells duplicates and
 * gaps by position either way.
 */
import { z } from 'zod';
import { configFromJson, configJsonSchema, configToJson } from './routing-config.ts';
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
  return JSON.stringify({
    logCreatedAt: snapshot.logCreatedAt,
    logSequence: snapshot.logSequence,
    config: configToJson(snapshot.config),
  } satisfies z.input<typeof snapshotSchema>);
}

/** @throws ZodError or SyntaxError when the text is not a snapshot of a known format. */
export function decodeSnapshot(text: string): ConfigSnapshot {
  const json = snapshotSchema.parse(JSON.parse(text));
  return { ...json, config: configFromJson(json.config) };
}

const snapshotHeadSchema = z.object({
  ...headSchema,
  config: z.object({ epoch: z.int().min(0), position: z.int().min(0) }),
});
export type SnapshotHead = Readonly<z.infer<typeof snapshotHeadSchema>>;

/** Which state a snapshot holds, without looking at its tenants. @throws as decodeSnapshot */
export function decodeSnapshotHead(text: string): SnapshotHead {
  return snapshotHeadSchema.parse(JSON.parse(text));
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
