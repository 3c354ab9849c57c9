/**
 * Reads the operator's `--nats URL`: one address or several with commas, `nats://` or `tls://`,
 * credentials in front.
 */
import { sharedErrors } from '../errors.ts';

export interface NatsAddress {
  /** host:port, without scheme or credentials. */
  readonly servers: readonly string[];
  /** `required` when any address says tls://. */
  readonly tls: 'required' | 'when_offered';
  readonly credentials: NatsCredentials | undefined;
}

export type NatsCredentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string };

const DEFAULT_PORT = 4222;

/**
 * @throws SETTINGS_INVALID naming the part that is no address; its credentials are not repeated.
 */
export function parseNatsAddress(text: string): NatsAddress {
  const urls = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseOne);
  if (urls.length === 0) throw sharedErrors.fail('SETTINGS_INVALID', 'The NATS URL is empty');
  return {
    servers: urls.map((url) => `${url.hostname}:${url.port === '' ? DEFAULT_PORT : url.port}`),
    tls: urls.some((url) => url.protocol === 'tls:') ? 'required' : 'when_offered',
    credentials: urls.map(credentialsOf).find((found) => found !== undefined),
  };
}

function parseOne(part: string): URL {
  const address = part.includes('://') ? part : `nats://${part}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isUsable =
    url !== undefined &&
    (url.protocol === 'nats:' || url.protocol === 'tls:') &&
    url.hostname !== '' &&
    (url.pathname === '' || url.pathname === '/');
  if (isUsable) return url;
  const shown = part.replace(/^(.*:\/\/)?.*@/, '$1');
  throw sharedErrors.fail('SETTINGS_INVALID', `"${shown}" is not a NATS URL`, {
    hint: 'Write it as nats://host:4222 or tls://user:password@host:4222; several with commas.',
  });
}

function credentialsOf(url: URL): NatsCredentials | undefined {
  if (url.username === '') return undefined;
  const user = decodeURIComponent(url.username);
  if (url.password === '') return { kind: 'token', token: user };
  return { kind: 'password', user, password: decodeURIComponent(url.password) };
}
