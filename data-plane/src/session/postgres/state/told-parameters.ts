/**
 * What one client has been told of its parameters (ParameterStatus), wherever it was served. Within
 * a lease the server tells it; between two leases the server connection may have become another.
 */
import type { Socket } from 'node:net';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import type { ReportedParameters } from '../../../upstream/reported-parameters.ts';
import { encodeParameterStatus } from '../../../wire/postgres/backend-messages.ts';

export class ToldParameters {
  #told: ReportedParameters;

  constructor(told: ReportedParameters) {
    this.#told = told;
  }

  get now(): ReportedParameters {
    return this.#told;
  }

  /** The client has read all that this backend has reported. */
  heard(backend: PostgresBackend): void {
    this.#told = backend.reported;
  }

  /** Tells the client what it must know before it is served by this backend; usually nothing. */
  tell(socket: Socket, backend: PostgresBackend): void {
    const news = this.#news(backend);
    if (news !== undefined) socket.write(news);
  }

  #news(backend: PostgresBackend): Buffer | undefined {
    const told = this.#told;
    const { reported } = backend;
    if (reported === told) return undefined;
    this.#told = reported;
    if (reported.key === told.key) return undefined;
    const news = [...reported.values].filter(
      ([name, value]) => name !== 'application_name' && told.values.get(name) !== value,
    );
    return Buffer.concat(news.map(([name, value]) => encodeParameterStatus(name, value)));
  }
}
