/**
 * Every way the control plane refuses or fails a request, once. HTTP statuses are given in
 * api/problem.ts.
 */
import { defineErrors } from '@dbbouncer/shared/kernel/errors.ts';

export const controlErrors = defineErrors({
  VALIDATION_FAILED: {
    kind: 'client',
    retryable: false,
    summary: 'A value of the request is not allowed, or contradicts another one.',
  },
  TENANT_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'No tenant is registered under that id.',
  },
  PROXY_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'No proxy of that id was heard of lately.',
  },
  CLIENT_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'No proxy has a client of that id: it has left, or its proxy was started anew.',
  },
  PROXY_SILENT: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The proxy did not answer in time: whether it did what was asked is not known.',
  },
  PROXY_NOT_LOST: {
    kind: 'client',
    retryable: false,
    summary: 'A proxy that may still run is not forgotten: it may use its part of the budget.',
  },
  EVENT_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'The event log has no event at that position.',
  },
  TENANT_EXISTS: {
    kind: 'client',
    retryable: false,
    summary: 'A tenant is registered under that id already; ids ignore case.',
  },
  TENANT_PROTOCOL_FIXED: {
    kind: 'client',
    retryable: false,
    summary: "A tenant's protocol cannot be changed: remove the tenant and register it anew.",
  },
  TENANT_BEING_DRAINED: {
    kind: 'client',
    retryable: false,
    summary: 'The tenant is being drained; resume it first.',
  },
  CANARY_RUNNING: {
    kind: 'client',
    retryable: true,
    summary: 'A change of the tenant is being tried by some proxies; nothing else changes it.',
  },
  CANARY_NOT_RUNNING: {
    kind: 'client',
    retryable: false,
    summary: 'No change of the tenant is being tried, or it has been decided by now.',
  },
  CANARIES_FULL: {
    kind: 'capacity',
    retryable: true,
    summary: 'As many changes are being tried by some proxies as may be; nothing was changed.',
  },
  CANARY_TOO_FEW_PROXIES: {
    kind: 'client',
    retryable: true,
    summary: 'A change is tried by some proxies against others: two must be live at least.',
  },
  SERVER_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'No database server is declared under that name.',
  },
  SERVER_ADDRESS_TAKEN: {
    kind: 'client',
    retryable: false,
    summary: 'Another declared server has that host and port.',
  },
  SERVERS_FULL: {
    kind: 'client',
    retryable: false,
    summary: 'As many database servers are declared as may be.',
  },
  API_KEY_NOT_FOUND: {
    kind: 'client',
    retryable: false,
    summary: 'No API key has that id.',
  },
  API_KEY_EXISTS: {
    kind: 'client',
    retryable: false,
    summary: 'A live API key has that name already, or is that key.',
  },
  API_KEY_REVOKED: {
    kind: 'client',
    retryable: false,
    summary: 'The API key is revoked, for good: create another one.',
  },
  API_KEY_BUILT_IN: {
    kind: 'client',
    retryable: false,
    summary: 'The API key comes from the settings or its file, and is changed there alone.',
  },
  API_KEYS_FULL: {
    kind: 'client',
    retryable: false,
    summary: 'As many API keys are live as may be, in all or with the same beginning.',
  },
  TENANT_ABSENT_THEN: {
    kind: 'client',
    retryable: false,
    summary: 'The tenant was not registered at the position or time it should go back to.',
  },
  VERSION_CONFLICT: {
    kind: 'client',
    retryable: false,
    summary: 'It was changed since the version the request names.',
  },
  PRECONDITION_REQUIRED: {
    kind: 'client',
    retryable: false,
    summary: 'The request must name the version it changes, in If-Match, or say ?force=true.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    kind: 'client',
    retryable: false,
    summary: 'The Idempotency-Key was used for another request; each request needs its own.',
  },
  IDEMPOTENCY_KEYS_FULL: {
    kind: 'capacity',
    retryable: true,
    summary: 'As many idempotency keys as may be kept for a day have been used; nothing was done.',
  },
  UNAUTHORIZED: {
    kind: 'client',
    retryable: false,
    summary: 'The request carries no valid API key.',
  },
  SCOPE_MISSING: {
    kind: 'client',
    retryable: false,
    summary: 'The API key has another scope than the request needs; required_scope says which.',
  },
  TENANT_OUT_OF_REACH: {
    kind: 'client',
    retryable: false,
    summary: 'The API key is limited to certain tenants, and the request is about others too.',
  },
  TAILS_EXHAUSTED: {
    kind: 'capacity',
    retryable: true,
    summary: 'As many tails of the event log are open as may be, in all or with one API key.',
  },
  TAIL_TOO_SLOW: {
    kind: 'client',
    retryable: true,
    summary: 'A tail of the event log was ended: its reader did not take what was sent.',
  },
  STORE_BUSY: {
    kind: 'capacity',
    retryable: true,
    summary:
      'As many commands wait for the event log as may wait, or its file is locked; not done.',
  },
  STORE_FULL: {
    kind: 'capacity',
    retryable: true,
    summary: 'The disk of the event log is full; nothing was changed.',
  },
  STORE_FAILED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The event log could not be read or written.',
  },
  STORE_DAMAGED: {
    kind: 'config',
    retryable: false,
    summary: 'The event log is not as it was written; `dbbouncer verify` says where.',
  },
  STORE_OUTCOME_UNKNOWN: {
    kind: 'unavailable',
    retryable: true,
    summary:
      'The disk or the message bus failed while a change was being kept: it is not there now, and' +
      ' may come to be. Under the same Idempotency-Key it can be repeated safely.',
  },
  STORE_READ_ONLY: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The event log takes no changes for now, reads go on; nothing was changed.',
  },
  NOT_LEADER: {
    kind: 'unavailable',
    retryable: true,
    summary:
      'This control plane does not write now: another one leads, or none does yet; `leader` of' +
      ' the answer says where. Nothing was changed.',
  },
  EVENT_STREAM_UNUSABLE: {
    kind: 'config',
    retryable: false,
    summary:
      'The event stream on the bus was made anew or purged, or holds another history than the' +
      ' log; nothing is written until an operator has acted.',
  },
  STORE_LOCKED: {
    kind: 'config',
    retryable: true,
    summary: 'Another control plane writes to the same database file.',
  },
  STORE_CLOSED: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The control plane is shutting down.',
  },
});

export type ControlErrorCode = keyof typeof controlErrors.specs;
