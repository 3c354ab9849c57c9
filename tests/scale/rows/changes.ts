/** Changes of one tenant after the other, each one event. */
import { tenantName } from '../made-log.ts';
import type { Stage } from '../stage.ts';

export class Changes {
  readonly #stage: Stage;
  readonly #tenants: number;
  #made = 0;
  #position: number;

  private constructor(stage: Stage, tenants: number, position: number) {
    this.#stage = stage;
    this.#tenants = tenants;
    this.#position = position;
  }

  static async of(stage: Stage, tenants: number): Promise<Changes> {
    return new Changes(stage, tenants, await headOf(stage));
  }

  /** Of the last change. */
  get position(): number {
    return this.#position;
  }

  async next(query: string): Promise<void> {
    this.#made += 1;
    this.#position += 1;
    const path = `/tenants/${tenantName(this.#made % this.#tenants)}?force=true${query}`;
    await this.#stage.call('PATCH', path, { acquire_timeout: `${this.#made}ms` });
  }
}

async function headOf(stage: Stage): Promise<number> {
  return (JSON.parse(await stage.call('GET', '/fleet')) as { position: number }).position;
}
