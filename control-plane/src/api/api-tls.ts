/**
 * The certificate of the API: read at start, and again when its files change. New files take effect
 * for new connections; those that do not fit together are refused, and what was loaded stays.
 */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Server } from 'node:tls';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { contentDigest } from '@dbbouncer/shared/files/content-digest.ts';
import { FileWatcher } from '@dbbouncer/shared/files/file-watcher.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';

export interface ApiTlsOptions {
  readonly certFile: string;
  readonly keyFile: string;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a server of TLS is made with; both in PEM. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

export class ApiTls {
  readonly #options: ApiTlsOptions;
  readonly material: TlsMaterial;
  #watchers: readonly FileWatcher[] = [];

  /** @throws SETTINGS_INVALID for files that cannot be read or do not fit together. */
  constructor(options: ApiTlsOptions) {
    this.#options = options;
    this.material = this.#read();
  }

  /** Gives `server` what the files come to hold, until `close`. */
  follow(server: Server): void {
    const { certFile, keyFile, clock, log } = this.#options;
    const onChange = async () => this.#reload(server);
    const watch = (path: string, content: string) =>
      new FileWatcher({ path, knownDigest: contentDigest(content), clock, log, onChange });
    this.#watchers = [watch(certFile, this.material.cert), watch(keyFile, this.material.key)];
  }

  async close(): Promise<void> {
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
  }

  #reload(server: Server): void {
    const { log } = this.#options;
    try {
      server.setSecureContext(this.#read());
      log.info({}, 'the certificate of the API was loaded again');
    } catch (error) {
      log.error({ error }, 'new certificate of the API refused; the one before stays in use');
    }
  }

  #read(): TlsMaterial {
    const { certFile, keyFile, minVersion } = this.#options;
    const cert = readPem(certFile, 'tls_cert');
    const key = readPem(keyFile, 'tls_key');
    try {
      createSecureContext({ cert, key });
    } catch (error) {
      const why = `${certFile} and ${keyFile} cannot be used: ${(error as Error).message}`;
      throw sharedErrors.fail('SETTINGS_INVALID', `TLS of the API: ${why}.`, {
        hint: 'tls_cert and tls_key must be a certificate and its own private key, in PEM.',
        cause: error,
      });
    }
    return Object.freeze({ cert, key, minVersion });
  }
}

function readPem(path: string, setting: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw sharedErrors.fail('SETTINGS_INVALID', `${setting}: ${path} cannot be read.`, {
      cause: error,
    });
  }
}
