/** How much TLS a connection must have, in the words of libpq's `sslmode`. */

/** Of clients to the proxy, from nothing to a certificate that names the user. */
export const CLIENT_TLS_MODES = [
  'disable',
  'allow',
  'require',
  'verify-ca',
  'verify-full',
] as const;
export type ClientTlsMode = (typeof CLIENT_TLS_MODES)[number];

/** Of the proxy to a database server, from nothing to a certificate that names the server. */
export const SERVER_TLS_MODES = [
  'disable',
  'allow',
  'prefer',
  'require',
  'verify-ca',
  'verify-full',
] as const;
export type ServerTlsMode = (typeof SERVER_TLS_MODES)[number];
