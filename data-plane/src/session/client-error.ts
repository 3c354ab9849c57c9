/**
 * The only map from the data plane's errors and notices to what a client of each protocol reads.
 * Source: PostgreSQL manual, "PostgreSQL Error Codes".
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../errors.ts';
import type { ProxyErrorCode } from '../errors.ts';
import type { WaitNotice } from '../pool/waiter.ts';
import { encodeErrorResponse, encodeNoticeResponse } from '../wire/postgres/backend-messages.ts';
import { SqlState } from '../wire/postgres/sqlstate.ts';

export const SQLSTATE_BY_CODE: Readonly<Record<ProxyErrorCode, SqlState>> = Object.freeze({
  PROTOCOL_VIOLATION: SqlState.protocol_violation,
  PROXY_HEADER_INVALID: SqlState.protocol_violation,
  UNSUPPORTED: SqlState.feature_not_supported,
  LOGIN_TIMEOUT: SqlState.sqlserver_rejected_establishment_of_sqlconnection,
  AUTH_FAILED: SqlState.invalid_password,
  ACCESS_REFUSED: SqlState.invalid_authorization_specification,
  TLS_REQUIRED: SqlState.invalid_authorization_specification,
  CERTIFICATE_REFUSED: SqlState.invalid_authorization_specification,
  LOGIN_THROTTLED: SqlState.too_many_connections,
  USER_LOOKUP_FAILED: SqlState.sqlclient_unable_to_establish_sqlconnection,
  SELECTOR_CONFLICT: SqlState.invalid_authorization_specification,
  DATABASE_NOT_LISTED: SqlState.invalid_catalog_name,
  PARAMETER_REFUSED: SqlState.invalid_parameter_value,
  PREPARED_LIMIT: SqlState.configuration_limit_exceeded,
  LISTEN_LIMIT: SqlState.configuration_limit_exceeded,
  LISTEN_REFUSED: SqlState.object_not_in_prerequisite_state,
  LISTENER_LOST: SqlState.admin_shutdown,
  NOTIFICATION_BACKLOG: SqlState.configuration_limit_exceeded,
  TENANT_REMOVED: SqlState.admin_shutdown,
  TENANT_PAUSED: SqlState.cannot_connect_now,
  TENANT_DRAINING: SqlState.cannot_connect_now,
  TENANT_DRAINED: SqlState.admin_shutdown,
  CLIENTS_KILLED: SqlState.admin_shutdown,
  CLIENT_KILLED: SqlState.admin_shutdown,
  CLIENT_IDLE_TIMEOUT: SqlState.idle_session_timeout,
  IDLE_IN_TRANSACTION_TIMEOUT: SqlState.idle_in_transaction_session_timeout,
  TRANSACTION_TIMEOUT: SqlState.transaction_timeout,
  QUERY_TIMEOUT: SqlState.query_canceled,
  SLOW_CLIENT: SqlState.connection_failure,
  SECRET_UNAVAILABLE: SqlState.invalid_authorization_specification,
  USER_REMOVED: SqlState.admin_shutdown,
  WAITING_FOR_LOGIN: SqlState.cannot_connect_now,
  CREDENTIAL_UNFIT: SqlState.sqlserver_rejected_establishment_of_sqlconnection,
  CLEARTEXT_REFUSED: SqlState.sqlserver_rejected_establishment_of_sqlconnection,
  NO_CONFIG: SqlState.cannot_connect_now,
  CLIENT_LIMIT: SqlState.too_many_connections,
  POOL_ACQUIRE_TIMEOUT: SqlState.too_many_connections,
  POOL_QUEUE_FULL: SqlState.too_many_connections,
  UPSTREAM_UNREACHABLE: SqlState.sqlclient_unable_to_establish_sqlconnection,
  UPSTREAM_TLS_FAILED: SqlState.sqlclient_unable_to_establish_sqlconnection,
  UPSTREAM_REFUSED: SqlState.sqlserver_rejected_establishment_of_sqlconnection,
  UPSTREAM_LOST: SqlState.connection_failure,
  TRANSACTION_ABORTED: SqlState.in_failed_sql_transaction,
  CANCELLED: SqlState.query_canceled,
  INTERNAL: SqlState.internal_error,
  SHUTTING_DOWN: SqlState.admin_shutdown,
});

/** An error that already has a SQLSTATE, because the database gave it, keeps it. */
function sqlState(error: AppError): string {
  const given = error.context['sqlState'];
  if (typeof given === 'string') return given;
  return SQLSTATE_BY_CODE[error.code as ProxyErrorCode] ?? SqlState.internal_error;
}

/** Tells whose error it is, and under which name the documentation has it. */
function detailOf({ code, detail }: AppError): string {
  const name = `DBBouncer: ${code}`;
  return detail === undefined ? name : `${detail} (${name})`;
}

function hintOf({ code, hint }: AppError): string {
  const { specs } = proxyErrors;
  return hint ?? (specs[code as ProxyErrorCode] ?? specs.INTERNAL).hint;
}

/**
 * ErrorResponse with severity, SQLSTATE, message, detail and hint. `FATAL` says that the connection
 * ends.
 */
export function encodePostgresError(error: AppError, severity: 'ERROR' | 'FATAL'): Buffer {
  return encodeErrorResponse({
    severity,
    severityNonLocalized: severity,
    code: sqlState(error),
    message: error.message,
    detail: detailOf(error),
    hint: hintOf(error),
  });
}

/** NoticeResponse: the client goes on as before. */
export function encodePostgresNotice({ message, detail, hint }: WaitNotice): Buffer {
  const code = SqlState.successful_completion;
  const severity = 'NOTICE';
  const severities = { severity, severityNonLocalized: severity };
  return encodeNoticeResponse({ ...severities, code, message, detail, hint });
}
