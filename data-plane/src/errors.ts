/**
 * Every way the data plane refuses or fails a client, once. SQLSTATE and errno are given in
 * session/client-error.ts. A hint is what the client reads where the failure has no better one.
 */
import { defineErrors } from '@dbbouncer/shared/kernel/errors.ts';

export const proxyErrors = defineErrors({
  PROTOCOL_VIOLATION: {
    kind: 'client',
    retryable: false,
    summary: 'The bytes are not the protocol: bad length, unknown message, or one not allowed now.',
    hint: 'Check what speaks there: no database driver sends such bytes.',
  },
  PROXY_HEADER_INVALID: {
    kind: 'config',
    retryable: false,
    summary: 'A connection from an address of listen.proxy_protocol_from began without its header.',
    hint: 'Have the load balancer send the header, or take its address out of the setting.',
  },
  UNSUPPORTED: {
    kind: 'client',
    retryable: false,
    summary: 'The protocol knows it, this proxy does not offer it.',
    hint: 'Do without it, or connect to the database server itself.',
  },
  LOGIN_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'The client did not finish its login in time.',
    hint: 'Connect again.',
  },
  AUTH_FAILED: {
    kind: 'client',
    retryable: false,
    summary: 'Wrong password, unknown user or unknown tenant; the client cannot tell which.',
    hint: 'Check password, user and tenant.',
  },
  ACCESS_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: "The tenant's access rules do not let this user in from this address.",
    hint: 'Connect from an address that the access rules allow, or have them changed.',
  },
  TLS_REQUIRED: {
    kind: 'client',
    retryable: false,
    summary: 'The client did not ask for TLS, and tls_mode demands it.',
    hint: 'Connect with sslmode=require or stronger.',
  },
  CERTIFICATE_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: "The client certificate is missing, not valid, or not the user's.",
    hint: 'Connect with the certificate of this user (sslcert, sslkey).',
  },
  LOGIN_THROTTLED: {
    kind: 'capacity',
    retryable: true,
    summary: 'Many logins failed, and as many more as may wait for their turn wait already.',
    hint: 'Try again in a few seconds.',
  },
  USER_LOOKUP_FAILED: {
    kind: 'upstream',
    retryable: true,
    summary: "The tenant's database could not be asked who its users are (auth_query).",
    hint: 'Try again in a moment.',
  },
  SELECTOR_CONFLICT: {
    kind: 'client',
    retryable: false,
    summary: 'Two tenant selectors of one login name different tenants.',
    hint: 'Give one tenant selector, or the same tenant in each.',
  },
  DATABASE_NOT_LISTED: {
    kind: 'client',
    retryable: false,
    summary: 'The tenant has no database of that name.',
    hint: 'Leave the database name out, or have it listed in "databases" of the tenant.',
  },
  PARAMETER_REFUSED: {
    kind: 'client',
    retryable: false,
    summary: 'A startup parameter is malformed, or the database server does not accept it.',
    hint: 'Correct the startup parameters: options, PGOPTIONS, and those of the driver.',
  },
  PREPARED_LIMIT: {
    kind: 'capacity',
    retryable: false,
    summary: 'A client, or all of a tenant, have as many prepared statements as they may have.',
    hint: 'Close or DEALLOCATE statements that are no longer needed.',
  },
  LISTEN_LIMIT: {
    kind: 'capacity',
    retryable: false,
    summary:
      'A client, or all of a tenant, listen on as many channels as they may, or have no room.',
    hint: 'UNLISTEN what is not needed, or tell kinds of news apart by the payload.',
  },
  LISTEN_REFUSED: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server refused to listen for the client; its own words are passed on.',
    hint: 'Listen on a primary server, on channels that it takes.',
  },
  LISTENER_LOST: {
    kind: 'upstream',
    retryable: true,
    summary: 'The connection on which notifications are heard for the client ended.',
    hint: 'Connect again, LISTEN, and then read what may have changed meanwhile.',
  },
  NOTIFICATION_BACKLOG: {
    kind: 'client',
    retryable: true,
    summary: 'As many notifications wait for a client as may: it reads too slowly, or never rests.',
    hint: 'Read notifications sooner, and keep transactions of listening clients short.',
  },
  TENANT_REMOVED: {
    kind: 'config',
    retryable: false,
    summary: 'The tenant was removed while the client was connected.',
    hint: 'Ask the operator of the database proxy.',
  },
  TENANT_PAUSED: {
    kind: 'unavailable',
    retryable: true,
    summary:
      'The tenant is paused and was not resumed within pause_wait_timeout; nothing was sent.',
    hint: 'Try again once the operator has resumed the tenant.',
  },
  TENANT_DRAINING: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The tenant is being drained: nobody logs in until its operator resumes it.',
    hint: 'Try again once the operator has resumed the tenant.',
  },
  TENANT_DRAINED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The tenant is being drained: the session was ended between two transactions.',
    hint: 'Connect again once the operator has resumed the tenant.',
  },
  CLIENTS_KILLED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The operator has ended every client of the tenant; what was under way is undone.',
    hint: 'Connect again.',
  },
  CLIENT_KILLED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'An operator has ended this session; what was under way is undone.',
    hint: 'Connect again.',
  },
  CLIENT_IDLE_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'The client was idle between transactions for longer than client_idle_timeout.',
    hint: 'Connect again.',
  },
  IDLE_IN_TRANSACTION_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'The client left a transaction idle for longer than idle_in_transaction_timeout.',
    hint: 'Connect again, and end transactions as soon as their work is done.',
  },
  TRANSACTION_TIMEOUT: {
    kind: 'client',
    retryable: true,
    summary: 'A transaction went on for longer than transaction_timeout and was rolled back.',
    hint: 'Connect again, and do less in one transaction.',
  },
  QUERY_TIMEOUT: {
    kind: 'client',
    retryable: false,
    summary: 'A statement ran for longer than query_timeout and was cancelled.',
    hint: 'Make the statement faster, or have query_timeout of the tenant raised.',
  },
  SLOW_CLIENT: {
    kind: 'client',
    retryable: true,
    summary: 'The client took nothing of its results for longer than slow_client_timeout.',
    hint: 'Read results as they come, or ask for them in portions.',
  },
  SECRET_UNAVAILABLE: {
    kind: 'config',
    retryable: true,
    summary: "The tenant's password cannot be opened on this proxy.",
    hint: "The proxy's log says which key, variable or file is missing.",
  },
  USER_REMOVED: {
    kind: 'config',
    retryable: false,
    summary: 'The user was removed from the tenant while the client was connected.',
    hint: 'Connect again as a user that the tenant has.',
  },
  WAITING_FOR_LOGIN: {
    kind: 'unavailable',
    retryable: true,
    summary: 'Only a verifier is known, and no client has logged in with its password yet.',
    hint: 'Connect with the password of this user once.',
  },
  CREDENTIAL_UNFIT: {
    kind: 'config',
    retryable: false,
    summary: 'The database server asks for a proof that the stored credential cannot give.',
    hint: 'Give the proxy the password of this user.',
  },
  CLEARTEXT_REFUSED: {
    kind: 'config',
    retryable: false,
    summary: 'The database server asks for the password in clear, and TLS has not shown who it is.',
    hint: 'Verify the server with server_tls, or use scram-sha-256 in its pg_hba.conf.',
  },
  NO_CONFIG: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The proxy has not received its config yet.',
    hint: 'Try again in a moment; if it stays so, the control plane cannot be reached.',
  },
  CLIENT_LIMIT: {
    kind: 'capacity',
    retryable: true,
    summary: 'The proxy, the tenant or the user has as many clients as it may have.',
    hint: 'Close connections that are not needed, or have the limit raised.',
  },
  POOL_ACQUIRE_TIMEOUT: {
    kind: 'capacity',
    retryable: true,
    summary: 'No server connection became free within acquire_timeout; nothing was sent.',
    hint: 'Shorten transactions, or have max_connections of the tenant raised.',
  },
  POOL_QUEUE_FULL: {
    kind: 'capacity',
    retryable: true,
    summary: 'As many clients are in line for a server connection as may be.',
    hint: 'Open fewer clients, or have max_connections of the tenant raised.',
  },
  UPSTREAM_UNREACHABLE: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server could not be reached.',
    hint: 'Check that the database server runs, and host and port of the tenant.',
  },
  UPSTREAM_TLS_FAILED: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server could not be spoken to by TLS as server_tls demands.',
    hint: 'Check server_tls of the tenant and the certificate of its server.',
  },
  UPSTREAM_REFUSED: {
    kind: 'upstream',
    retryable: true,
    summary: 'The database server refused the login; its own words are passed on.',
    hint: 'Check user, password and database of the tenant on its server.',
  },
  UPSTREAM_LOST: {
    kind: 'upstream',
    retryable: true,
    summary: 'The server connection ended while the client was using it.',
    hint: 'Connect again; the outcome of what was under way is not known.',
  },
  CANCELLED: {
    kind: 'client',
    retryable: true,
    summary: 'A cancel request ended the wait for a server connection; nothing was sent.',
    hint: 'Nothing was sent to the database: send it again if it is still wanted.',
  },
  TRANSACTION_ABORTED: {
    kind: 'client',
    retryable: false,
    summary: 'The transaction failed before it reached the database; it has yet to be rolled back.',
    hint: 'Nothing of it was done: ROLLBACK, and begin again.',
  },
  INTERNAL: {
    kind: 'internal',
    retryable: true,
    summary: 'A fault of the proxy itself; its log has the details. Only this session ends.',
    hint: "Connect again, and tell the operator: the proxy's log has the details.",
  },
  SHUTTING_DOWN: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The proxy is shutting down.',
    hint: 'Connect again: another proxy, or this one once it is back.',
  },
});

export type ProxyErrorCode = keyof typeof proxyErrors.specs;
