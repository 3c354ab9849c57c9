/**
 * The file by which a server of this machine is reached without TCP; libpq makes the name of folder
 * and port in the same way.
 * Source: PostgreSQL manual, `unix_socket_directories`; unix(7), sun_path.
 */

/** sun_path of Linux has 108 bytes, the last of which is a zero. */
export const SOCKET_PATH_BYTES_MAX = 107;

export function socketFile(folder: string, port: number): string {
  return `${folder.replace(/\/+$/, '')}/.s.PGSQL.${port}`;
}
