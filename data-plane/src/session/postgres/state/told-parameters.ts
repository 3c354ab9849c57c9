/**
 * What one client has been told of its parameters (ParameterStatus), wherever it was served. Within
 * a lease the server tells it; between two leases the server connection may have become another.
 */
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import type { ReportedParameters } from '../../../upstream/reported-parameters.ts';
import { encodeParameterStatus } from '../../../wire/postgres/backend-messages.ts';

export class ToldParameters {
  #told: ReportedParameters;

  constructor(told: ReportedParameters) {
    this.#told = told;
  }

  /** The client has read all that this backend has reported. */
  heard(backend: PostgresBackend): void {
    this.#told = backend.reported;
  }

  /** What the client must be told before it is served by this backend; usually nothing. */
  news(backend: PostgresBackend): Buffer | undefined {
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
