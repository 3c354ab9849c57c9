/**
 * What a client asks for before it says who it is: encryption, a cancel, or a session with
 * parameters.
 * Owns: the first packets and the meaning of startup parameters. Leaves: which tenant they mean to
 * routing/.
 * Source: PostgreSQL manual, "Start-up", "SSL Session Encryption", "GSSAPI Session Encryption".
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../../errors.ts';
import type { Login } from '../../routing/resolve-tenant.ts';
import type { ClientTlsPort } from '../../tls/client-tls.ts';
import { parameterVector } from '../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../upstream/parameter-vector.ts';
import { encodeNegotiateProtocolVersion } from '../../wire/postgres/backend-messages.ts';
import type { CancelKey, StartupMessage } from '../../wire/postgres/startup-message.ts';
import { parseOptions } from '../../wire/postgres/startup-options.ts';
import type { LoginReader } from './login-reader.ts';

/** The answers to a request for encryption. */
const OFFERED = Buffer.from('S');
const NOT_OFFERED = Buffer.from('N');
/** A client asks for TLS once and for GSSAPI once, then goes on without. */
const ENCRYPTION_REQUESTS_MAX = 2;
/** Of protocol 3; 3.1 was never made, and a client that asks for it is served as one of 3.0. */
const MINOR_VERSION_MAX = 2;

export interface Asked {
  readonly kind: 'session';
  readonly login: Login;
  /** Session parameters for the server, without those that only say who asks. */
  readonly vector: ParameterVector;
  readonly applicationName: string;
  /** Since 3.2 a cancel key may be long. */
  readonly cancelKeys: 'short' | 'long';
}

/**
 * What the client wants; goes over to TLS on the way where the client asks for it and `tls` is
 * there.
 * @throws WireError, ClientGone, HandshakeFailed, AppError PROTOCOL_VIOLATION | UNSUPPORTED |
 *   PARAMETER_REFUSED
 */
export async function readStartup(
  reader: LoginReader,
  tls: ClientTlsPort | undefined,
): Promise<Asked | { readonly kind: 'cancel'; readonly key: CancelKey }> {
  for (let asked = 0; ; asked++) {
    const packet = await reader.firstPacket();
    switch (packet.kind) {
      case 'cancel_request':
        return { kind: 'cancel', key: packet.key };
      case 'startup':
        return understand(packet, reader);
      case 'unsupported_protocol': {
        const { major, minor } = packet;
        const words = `unsupported frontend protocol ${major}.${minor}`;
        throw proxyErrors.fail('UNSUPPORTED', `${words}: the proxy supports 3.0 to 3.2`);
      }
      case 'ssl_request':
      case 'gss_enc_request':
        await answerRequest(packet.kind, asked, reader, tls);
        break;
      case 'direct_tls':
        await encryptAtOnce(asked, reader, tls);
        break;
      default:
        return unreachable(packet);
    }
  }
}

async function answerRequest(
  kind: 'ssl_request' | 'gss_enc_request',
  asked: number,
  reader: LoginReader,
  tls: ClientTlsPort | undefined,
): Promise<void> {
  if (reader.channel !== undefined) throw violation('a request for encryption under encryption');
  if (asked >= ENCRYPTION_REQUESTS_MAX) {
    throw violation(`more than ${ENCRYPTION_REQUESTS_MAX} requests for encryption`);
  }
  // Somebody may have put these bytes in front of an encrypted session (CVE-2021-23222).
  if (reader.hasRest) throw violation('bytes follow a request for encryption before its answer');
  if (kind === 'gss_enc_request' || tls === undefined) {
    reader.say(NOT_OFFERED);
    return;
  }
  reader.say(OFFERED);
  await reader.encrypt(tls);
}

/** `sslnegotiation=direct`: the handshake is the first that comes, and has to name the protocol. */
async function encryptAtOnce(
  asked: number,
  reader: LoginReader,
  tls: ClientTlsPort | undefined,
): Promise<void> {
  if (asked > 0) throw violation('a TLS handshake where a startup packet was expected');
  if (tls === undefined) {
    throw proxyErrors.fail('UNSUPPORTED', 'this listener does not offer TLS');
  }
  await reader.encrypt(tls);
  // Else a browser could be made to speak to us in another protocol's name (ALPACA).
  if (reader.channel?.protocolNamed !== 'named') {
    throw violation('a direct TLS connection must name the protocol "postgresql" by ALPN');
  }
}

function violation(message: string): AppError {
  return proxyErrors.fail('PROTOCOL_VIOLATION', message);
}

/** Startup parameters that are about the connection itself and are not set on the server. */
const OWN_PARAMETERS: ReadonlySet<string> = new Set([
  'user',
  'database',
  'options',
  'replication',
  'tenant_id',
  'application_name',
]);

function understand(packet: StartupMessage, reader: LoginReader): Asked {
  const { parameters } = packet;
  const user = parameters.get('user') ?? '';
  if (user === '') {
    const message = 'no PostgreSQL user name specified in the startup packet';
    throw proxyErrors.fail('PARAMETER_REFUSED', message, { context: { sqlState: '28000' } });
  }
  refuseReplication(parameters.get('replication'));
  const minor = Math.min(packet.minor, MINOR_VERSION_MAX);
  if (packet.minor > minor || packet.protocolOptions.length > 0) {
    reader.sayFirst(
      encodeNegotiateProtocolVersion({
        major: 3,
        minor,
        unrecognizedOptions: packet.protocolOptions,
      }),
    );
  }
  const options = readOptions(parameters.get('options') ?? '');
  const own = [...parameters].filter(([name]) => !OWN_PARAMETERS.has(name.toLowerCase()));
  const { applicationName = parameters.get('application_name') ?? '' } = options;
  return {
    kind: 'session',
    login: {
      protocol: 'postgres',
      user,
      database: parameters.get('database'),
      selectors: {
        options: options.tenantId,
        parameter: parameters.get('tenant_id'),
        sni: reader.channel?.serverName,
      },
    },
    // A startup parameter of its own counts over the same one in `options`, as on the server.
    vector: parameterVector([...options.settings, ...own].map(byteForByte)),
    applicationName,
    cancelKeys: minor >= MINOR_VERSION_MAX ? 'long' : 'short',
  };
}

function byteForByte([name, value]: readonly [string, string]): readonly [string, string] {
  return [name, Buffer.from(value).toString('latin1')];
}

interface ReadOptions {
  tenantId: string | undefined;
  applicationName?: string;
  settings: (readonly [string, string])[];
}

function readOptions(text: string): ReadOptions {
  const parsed = parseOptions(text);
  if (parsed.kind === 'invalid') {
    throw proxyErrors.fail('PARAMETER_REFUSED', parsed.error, {
      hint: 'The startup parameter "options" may hold -c name=value and --name=value.',
      context: { sqlState: '42601' },
    });
  }
  const read: ReadOptions = { tenantId: undefined, settings: [] };
  for (const { name, value } of parsed.settings) {
    const key = name.toLowerCase();
    if (key === 'tenant_id') {
      if (read.tenantId !== undefined && read.tenantId.toLowerCase() !== value.toLowerCase()) {
        const message = `options names two tenants: "${read.tenantId}" and "${value}"`;
        throw proxyErrors.fail('SELECTOR_CONFLICT', message);
      }
      read.tenantId = value;
    } else if (key === 'application_name') read.applicationName = value;
    else read.settings.push([name, value]);
  }
  return read;
}

const FALSE_WORDS: ReadonlySet<string> = new Set(['', 'false', 'off', 'no', '0', 'f', 'n']);

function refuseReplication(value: string | undefined): void {
  if (value === undefined || FALSE_WORDS.has(value.toLowerCase())) return;
  throw proxyErrors.fail('UNSUPPORTED', 'replication connections are not pooled', {
    hint: 'Connect to the database server itself for replication.',
  });
}
