/**
 * What a control plane asks a proxy about its clients: who they are, and to end one of them. And
 * what the proxy answers.
 * Owns: the messages, their limits, how a client is named in the fleet. Leaves: ending sessions to
 * the proxy, asking several proxies to the control plane.
 *
 * A client's id is that of its proxy, of the proxy's life and a number: `p1.6f2ab0c4.17`. A proxy
 * that was started anew counts from the beginning, and no id of before means a client of now.
 */
import { z } from 'zod';
import { isProxyId } from '../kernel/ids.ts';
import type { ProxyId } from '../kernel/ids.ts';

export const CLIENT_DESK = Object.freeze({
  /** Clients of one answer: some 300 bytes each. */
  pageMax: 500,
  /** Of a reason that an operator gives. */
  reasonCharsMax: 500,
});

const number = z.int().min(0);

const requestSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('list'),
    /** Only those of one tenant. */
    tenant: z.string().optional(),
    /** Those with a higher number. */
    after: number,
    limit: z.int().min(1).max(CLIENT_DESK.pageMax),
  }),
  z.object({
    kind: z.literal('kill'),
    life: z.string(),
    number,
    /** For the log of the proxy. */
    actor: z.string(),
    reason: z.string().optional(),
  }),
]);
export type ClientRequest = Readonly<z.infer<typeof requestSchema>>;

const clientSchema = z.object({
  number,
  tenant: z.string(),
  /** As it has logged in, without the tenant. */
  user: z.string(),
  database: z.string(),
  /** `unix` for a socket file. */
  address: z.string(),
  encryption: z.enum(['tls', 'none']),
  poolMode: z.string(),
  /** `idle`, `waiting`, or what it is doing: a word of the session's own. */
  state: z.string(),
  connectedMs: z.number().min(0),
});
export type ReportedClient = Readonly<z.infer<typeof clientSchema>>;

const answerSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('clients'),
    life: z.string(),
    clients: z.array(clientSchema),
    /** Whether there are some behind the last one. */
    more: z.boolean(),
  }),
  z.object({ kind: z.literal('killed'), tenant: z.string(), user: z.string() }),
  z.object({ kind: z.literal('unknown_client') }),
  /** A proxy of another version. */
  z.object({ kind: z.literal('unreadable') }),
]);
export type ClientAnswer = Readonly<z.infer<typeof answerSchema>>;

export function encodeClientMessage(message: ClientRequest | ClientAnswer): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** Nothing when it is no request this version knows. */
export function decodeClientRequest(data: Uint8Array): ClientRequest | undefined {
  return decode(requestSchema, data);
}

/** Nothing when it is no answer this version knows. */
export function decodeClientAnswer(data: Uint8Array): ClientAnswer | undefined {
  return decode(answerSchema, data);
}

function decode<T>(schema: z.ZodType<T>, data: Uint8Array): T | undefined {
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}

export interface ClientId {
  readonly proxy: ProxyId;
  readonly life: string;
  readonly number: number;
}

export function formatClientId({ proxy, life, number: count }: ClientId): string {
  return `${proxy}.${life}.${count}`;
}

const CLIENT_ID = /^([^.]+)\.([0-9a-f]{8})\.(\d{1,15})$/;

/** Nothing when no client can have it. */
export function parseClientId(text: string): ClientId | undefined {
  const [, proxy = '', life = '', count = ''] = CLIENT_ID.exec(text) ?? [];
  return isProxyId(proxy) ? { proxy, life, number: Number(count) } : undefined;
}
