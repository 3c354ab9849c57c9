/**
 * Every way the data plane refuses or fails a client, once. SQLSTATE and errno are given in
 * session/client-error.ts.
 */
import { defineErrors } from '@dbbouncer/shared/kernel/errors.ts';

export const proxyErrors = defineErrors({
  PROTOCOL_VIOLATION: {
    kind: 'client',
    retryable: false,
    summary: 'The bytes are not the protocol: bad length, unknown message, or one not allowed now.',
  },
  PROXY_HEADER_INVALID: {
    kind: 'config',
    retryable: false,
    summary: 'A connection from an address of listen.proxy_protocol_from began without its header.',
  },
  UNSUPPORTED: {
    kind: 'client',
    retryable: false,
    summary: 'The protocol knows it, this proxy does not offer it.',
  },
  LOGIN_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'The client did not finish its login in time.',
  },
  AUTH_FAILED: {
    kind: 'client',
    retryable: false,
    summary: 'Wrong password, unknown user or unknown tenant; the client cannot tell which.',
  },
  ACCESS_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: "The tenant's access rules do not let this user in from this address.",
  },
  TLS_REQUIRED: {
    kind: 'client',
    retryable: false,
    summary: 'The client did not ask for TLS, and tls_mode demands it.',
  },
  CERTIFICATE_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: "The client certificate is missing, not valid, or not the user's.",
  },
  LOGIN_THROTTLED: {
    kind: 'capacity',
    retryable: true,
    summary: 'Many logins failed, and as many more as may wait for their turn wait already.',
  },
  USER_LOOKUP_FAILED: {
    kind: 'upstream',
    retryable: true,
    summary: "The tenant's database could not be asked who its users are (auth_query).",
  },
  SELECTOR_CONFLICT: {
    kind: 'client',
    retryable: false,
    summary: 'Two tenant selectors of one login name different tenants.',
  },
  DATABASE_NOT_LISTED: {
    kind: 'client',
    retryable: false,
    summary: 'The tenant has no database of that name.',
  },
  PARAMETER_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: 'A startup parameter is malformed, or the database server does not accept it.',
  },
  PREPARED_LIMIT: {
    kind: 'capacity',
    retryable: false,
    summary: 'A client, or all of a tenant, have as many prepared statements as they may have.',
  },
  LISTEN_LIMIT: {
    kind: 'capacity',
    retryable: false,
    summary:
      'A client, or all of a tenant, listen on as many channels as they may, or have no room.',
  },
  LISTEN_REFUSED: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server refused to listen for the client; its own words are passed on.',
  },
  LISTENER_LOST: {
    kind: 'upstream',
    retryable: true,
    summary: 'The connection on which notifications are heard for the client ended.',
  },
  NOTIFICATION_BACKLOG: {
    kind: 'client',
    retryable: true,
    summary: 'As many notifications wait for a client as may: it reads too slowly, or never rests.',
  },
  TENANT_REMOVED: {
    kind: 'config',
    retryable: false,
    summary: 'The tenant was removed while the client was connected.',
  },
  TENANT_PAUSED: {
    kind: 'unavailable',
    retryable: true,
    summary:
      'The tenant is paused and was not resumed within pause_wait_timeout; nothing was sent.',
  },
  TENANT_DRAINING: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The tenant is being drained: nobody logs in until its operator resumes it.',
  },
  TENANT_DRAINED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The tenant is being drained: the session was ended between two transactions.',
  },
  CLIENTS_KILLED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The operator has ended every client of the tenant; what was under way is undone.',
  },
  CLIENT_IDLE_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'The client was idle between transactions for longer than client_idle_timeout.',
  },
  IDLE_IN_TRANSACTION_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'The client left a transaction idle for longer than idle_in_transaction_timeout.',
  },
  TRANSACTION_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'A transaction went on for longer than transaction_timeout and was rolled back.',
  },
  QUERY_TIMEOUT: {
    kind: 'client',
    retryable: false,
    summary: 'A statement ran for longer than query_timeout and was cancelled.',
  },
  SLOW_CLIENT: {
    kind: 'client',
    retryable: true,
    summary: 'The client took nothing of its results for longer than slow_client_timeout.',
  },
  SECRET_UNAVAILABLE: {
    kind: 'config',
    retryable: true,
    summary: "The tenant's password cannot be opened on this proxy.",
  },
  USER_REMOVED: {
    kind: 'config',
    retryable: false,
    summary: 'The user was removed from the tenant while the client was connected.',
  },
  WAITING_FOR_LOGIN: {
    kind: 'unavailable',
    retryable: true,
    summary: 'Only a verifier is known, and no client has logged in with its password yet.',
  },
  CREDENTIAL_UNFIT: {
    kind: 'config',
    retryable: false,
    summary: 'The database server asks for a proof that the stored credential cannot give.',
  },
  CLEARTEXT_REFUSED: {
    kind: 'config',
    retryable: false,
    summary: 'The database server asks for the password in clear on a connection without TLS.',
  },
  NO_CONFIG: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The proxy has not received its config yet.',
  },
  CLIENT_LIMIT: {
    kind: 'capacity',
    retryable: true,
    summary: 'The proxy, the tenant or the user has as many clients as it may have.',
  },
  POOL_ACQUIRE_TIMEOUT: {
    kind: 'capacity',
    retryable: true,
    summary: 'No server connection became free within acquire_timeout; nothing was sent.',
  },
  POOL_QUEUE_FULL: {
    kind: 'capacity',
    retryable: true,
    summary: 'As many clients are in line for a server connection as may be.',
  },
  UPSTREAM_UNREACHABLE: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server could not be reached.',
  },
  UPSTREAM_TLS_FAILED: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server could not be spoken to by TLS as server_tls demands.',
  },
  UPSTREAM_REFUSED: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server refused the login; its own words are passed on.',
  },
  UPSTREAM_LOST: {
    kind: 'upstream',
    retryable: true,
    summary: 'The server connection ended while the client was using it.',
  },
  CANCELLED: {
    kind: 'client',
    retryable: true,
    summary: 'A cancel request ended the wait for a server connection; nothing was sent.',
  },
  INTERNAL: {
    kind: 'internal',
    retryable: true,
    summary: 'A fault of the proxy itself; its log has the details. Only this session ends.',
  },
  SHUTTING_DOWN: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The proxy is shutting down.',
  },
});

export type ProxyErrorCode = keyof typeof proxyErrors.specs;
