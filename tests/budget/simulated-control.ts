/**
 * A control plane of the simulated world: the real allocator, and the bus and its object of members
 * around it. It crashes, and begins again in a higher term with nothing but that object.
 */
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type {
  BudgetGrant,
  GrantAnswer,
  LookAnswer,
  ProxyNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import { Allocator } from '@dbbouncer/control-plane/budget/allocator.ts';
import type { LookOrder } from '@dbbouncer/control-plane/budget/looking.ts';
import type { RecordedFleet } from '@dbbouncer/control-plane/budget/members.ts';
import type { Chance } from './chance.ts';
import type { Agenda, Network } from './network.ts';
import type { SimulatedConfig } from './simulated-config.ts';
import type { SimulatedProxy } from './simulated-proxy.ts';

export const CONTROL = 'control';
/** The least that can be set: looks begin as soon as a lease is surely over. */
export const LOST_AFTER_MS = 2_000;

export interface ControlSurroundings {
  readonly agenda: Agenda;
  readonly chance: Chance;
  readonly network: Network;
  readonly proxyOf: (id: string) => SimulatedProxy | undefined;
  readonly say: (line: string) => void;
}

export class SimulatedControl {
  readonly #world: ControlSurroundings;
  readonly #expected: number | undefined;
  allocator: Allocator | undefined;
  term = 0;
  /** On the bus; survives everybody. */
  fleet: RecordedFleet = { members: [], areAll: 'surely' };
  #config: SimulatedConfig | undefined;

  constructor(world: ControlSurroundings, expected: number | undefined) {
    this.#world = world;
    this.#expected = expected;
  }

  get nowMs(): number {
    return this.#world.agenda.nowMs;
  }

  begin(config: SimulatedConfig): void {
    this.term += 1;
    this.#config = config;
    this.allocator = new Allocator({
      term: this.term,
      config: config.budget,
      fleet: this.fleet,
      expectedProxies: this.#expected,
      proxyLostAfterMs: LOST_AFTER_MS,
      nowMs: this.nowMs,
    });
  }

  end(): void {
    this.allocator = undefined;
  }

  serve(config: SimulatedConfig): void {
    if (this.allocator === undefined || this.#config === undefined) return;
    if (config.position <= this.#config.position) return;
    const isWide = this.#config.servers !== config.servers;
    const changed = config.allKeys.filter(
      (key) => config.all.get(key) !== this.#config?.all.get(key),
    );
    this.#config = config;
    this.allocator.configChanged(config.budget, changed, isWide ? 'all' : 'named');
  }

  needs(message: ProxyNeeds): void {
    this.allocator?.needs(message, this.nowMs);
    this.step();
  }

  step(): void {
    if (this.allocator === undefined) return;
    const { grants, looks, members } = this.allocator.step(this.nowMs);
    for (const grant of grants) this.#send(grant);
    for (const look of looks) this.#look(look);
    if (members !== undefined) this.#write(members);
  }

  #send(grant: BudgetGrant): void {
    const { network, agenda, proxyOf, say } = this.#world;
    const { allocator } = this;
    if (grant.tenants.length + grant.released.length > 0 || grant.share !== undefined) {
      say(`grant ${grant.number} to ${grant.proxy}: ${describe(grant)}`);
    }
    let isAnswered = false;
    const answered = (answer: GrantAnswer | 'no_answer'): void => {
      if (isAnswered || this.allocator !== allocator) return;
      isAnswered = true;
      allocator?.grantAnswered(grant, answer, this.nowMs);
      this.step();
    };
    network.send(CONTROL, grant.proxy, () => {
      proxyOf(grant.proxy)?.grant(grant, (answer) => {
        network.send(grant.proxy, CONTROL, () => answered(answer));
      });
    });
    agenda.after(BUDGET_LIMITS.grantTimeoutMs, () => answered('no_answer'));
  }

  #look({ number, looker, request }: LookOrder): void {
    const { network, agenda, proxyOf, say } = this.#world;
    const { allocator } = this;
    const { proxy, upToLife } = request.left;
    let isAnswered = false;
    const answered = (answer: LookAnswer | 'no_answer'): void => {
      if (isAnswered || this.allocator !== allocator) return;
      isAnswered = true;
      say(`look of ${looker} for ${proxy}/${upToLife} in ${request.tenant}: ${words(answer)}`);
      allocator?.lookAnswered(number, answer, this.nowMs);
      this.step();
    };
    network.send(CONTROL, looker, () => {
      proxyOf(looker)?.look(request, (answer) => {
        network.send(looker, CONTROL, () => answered(answer));
      });
    });
    agenda.after(BUDGET_LIMITS.lookTimeoutMs, () => answered('no_answer'));
  }

  #write(fleet: RecordedFleet): void {
    const { agenda, chance, network } = this.#world;
    const { allocator } = this;
    const isWritten = !network.isCut(CONTROL) && !chance.happens(0.05);
    if (isWritten) this.fleet = fleet;
    const outcome = isWritten && !chance.happens(0.02) ? 'written' : 'failed';
    agenda.after(chance.between(1, 20), () => {
      if (this.allocator !== allocator) return;
      allocator?.membersWritten(outcome, this.nowMs);
      this.step();
    });
  }
}

function describe({ share, tenants, released }: BudgetGrant): string {
  const figures = tenants.map(({ tenant, floor, limit }) => `${tenant} ${floor}/${limit}`);
  const freed = released.map((tenant) => `${tenant} by formula`);
  const part = share === undefined ? [] : [`share ${share?.divisor ?? 'none'}`];
  return [...part, ...figures, ...freed].join(', ');
}

function words(answer: LookAnswer | 'no_answer'): string {
  if (answer === 'no_answer') return 'no answer';
  return answer.outcome === 'seen' ? `${answer.remaining} left` : answer.reason;
}
