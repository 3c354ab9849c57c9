/**
 * How the proxy speaks TLS with a tenant's database server, as people write it and as the planes
 * hold it.
 * Owns: the shapes and what must agree in them. Leaves: reading files and speaking TLS to the data
 * plane's upstream/.
 */
import { z } from 'zod';
import type { Secret } from './secret.ts';
import { secretSchema } from './secret.ts';
import { SERVER_TLS_MODES } from './tls-modes.ts';

/** A bundle of certificates; more belongs into a file. */
const CERTIFICATES_CHARS_MAX = 65_536;
const KEY_CHARS_MAX = 16_384;
const NAME_CHARS_MAX = 255;

const modeSchema = z.enum(SERVER_TLS_MODES);

export const serverTlsSchema = z.strictObject({
  mode: modeSchema,
  /** PEM, or `file:/path` on the proxy. */
  ca: z.string().min(1).max(CERTIFICATES_CHARS_MAX).optional(),
  /** The proxy's own certificate, in the same way. */
  cert: z.string().min(1).max(CERTIFICATES_CHARS_MAX).optional(),
  key: secretSchema.optional(),
  /** The name to ask for and to verify, where it is not the host. */
  serverName: z.string().min(1).max(NAME_CHARS_MAX).optional(),
});
export type ServerTlsConfig = Readonly<z.infer<typeof serverTlsSchema>>;

const FILE_REFERENCE = /^file:(\/.+)$/s;
const CERTIFICATE = /-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/;
const OWN_VARIABLE = /^\$\{DBBOUNCER_/;
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;

/** The path that a text refers to; nothing when it is the PEM itself. */
export function certificateFile(text: string): string | undefined {
  return FILE_REFERENCE.exec(text)?.[1];
}

const certificatesSchema = z
  .string()
  .max(CERTIFICATES_CHARS_MAX)
  .refine((text) => FILE_REFERENCE.test(text) || CERTIFICATE.test(text), {
    error: 'must be certificates as PEM, or file:/path of a file on the proxy',
  });

export const writtenServerTlsSchema = z
  .strictObject({
    mode: modeSchema,
    ca: certificatesSchema.nullish().meta({
      description: 'Authorities to verify the server by; default: those of server_tls_ca.',
    }),
    cert: certificatesSchema.nullish().meta({ description: "The proxy's own certificate." }),
    key: z
      .string()
      .min(1)
      .max(KEY_CHARS_MAX)
      .refine((text) => !OWN_VARIABLE.test(text), {
        error: 'must not refer to a DBBOUNCER_ variable: those hold the keys of DBBouncer itself',
      })
      .optional()
      .meta({ description: 'Its private key; never returned. Like a password.', writeOnly: true }),
    key_source: z.unknown().optional().meta({ readOnly: true, description: 'Ignored on writes.' }),
    server_name: z.string().max(NAME_CHARS_MAX).regex(HOST_NAME, 'must be a host name').nullish(),
  })
  .refine(({ mode, ca }) => !isGiven(ca) || mode.startsWith('verify-'), {
    path: ['ca'],
    error: 'needs mode verify-ca or verify-full: the others verify nothing',
  })
  .refine(({ cert, key }) => key === undefined || isGiven(cert), {
    path: ['key'],
    error: 'needs cert',
  });
export type WrittenServerTls = Readonly<z.infer<typeof writtenServerTlsSchema>>;

export const serverTlsAnswerSchema = z.strictObject({
  mode: modeSchema,
  ca: z.string().nullable(),
  cert: z.string().nullable(),
  key_source: z.string().nullable(),
  server_name: z.string().nullable(),
});

/** A certificate that is written without its key keeps the key that is there. */
export function toServerTls(
  written: WrittenServerTls,
  current: ServerTlsConfig | undefined,
  makeSecret: (written: string, current: Secret | undefined) => Secret,
): ServerTlsConfig {
  const { mode, ca, cert, server_name: serverName } = written;
  const key = written.key === undefined ? current?.key : makeSecret(written.key, current?.key);
  return {
    mode,
    ...(isGiven(ca) && { ca }),
    ...(isGiven(cert) && { cert, ...(key !== undefined && { key }) }),
    ...(isGiven(serverName) && { serverName }),
  };
}

export function toServerTlsAnswer(
  { mode, ca, cert, key, serverName }: ServerTlsConfig,
  describeSecret: (secret: Secret) => string,
): z.infer<typeof serverTlsAnswerSchema> {
  return {
    mode,
    ca: ca ?? null,
    cert: cert ?? null,
    key_source: key === undefined ? null : describeSecret(key),
    server_name: serverName ?? null,
  };
}

/** What no schema of what is written can see: the key may have been there before. */
export function findServerTlsInconsistency(tls: ServerTlsConfig | undefined): string | undefined {
  return tls?.cert !== undefined && tls.key === undefined
    ? 'server_tls.cert needs server_tls.key'
    : undefined;
}

function isGiven<T>(value: T | null | undefined): value is T {
  return value !== null && value !== undefined;
}
