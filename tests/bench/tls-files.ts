/** A certificate for all contenders, in files that each of them may read. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Authority } from '../support/certificates.ts';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** @param folder one that is gone afterwards: the key in it is open to everybody */
export async function writeTlsFiles(folder: string): Promise<TlsFiles> {
  const authority = await Authority.create('bench');
  const { cert, key } = await authority.issue({ commonName: 'localhost', ips: ['127.0.0.1'] });
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
  await writeFile(files.cert, cert, { mode: 0o644 });
  await writeFile(files.key, key, { mode: 0o644 });
  return files;
}
