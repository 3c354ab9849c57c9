/**
 * A control plane of the simulated world: the real allocator, and the bus around it. It crashes,
 * and another begins in a higher term with nothing but the object of members. It may also be
 * suspended, so that it knows nothing of the one that has begun meanwhile, and goes on beside it.
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

/** The least that can be set: looks begin as soon as a lease is surely over. */
export const LOST_AFTER_MS = 2_000;

/** What the bus keeps; survives everybody. */
export interface KeptRecord {
  term: number;
  fleet: RecordedFleet;
}

export interface ControlSurroundings {
  readonly agenda: Agenda;
  readonly chance: Chance;
  readonly network: Network;
  readonly kept: KeptRecord;
  readonly proxyOf: (id: string) => SimulatedProxy | undefined;
  readonly say: (line: string) => void;
}

export interface ControlOptions {
  readonly term: number;
  readonly config: SimulatedConfig;
  readonly expectedProxies: number | undefined;
}

export class SimulatedControl {
  readonly #world: ControlSurroundings;
  readonly allocator: Allocator;
  readonly term: number;
  readonly name: string;
  state: 'running' | 'suspended' | 'ended' = 'running';
  #config: SimulatedConfig;
  /** For how long its clock stood while it was suspended. */
  #stoodMs = 0;
  #suspendedMs = 0;
  /** Arrived while it was suspended. */
  #waiting: (() => void)[] = [];

  constructor(world: ControlSurroundings, { term, config, expectedProxies }: ControlOptions) {
    this.#world = world;
    this.term = term;
    this.name = `control-${term}`;
    this.#config = config;
    this.allocator = new Allocator({
      term,
      config: config.budget,
      fleet: world.kept.fleet,
      expectedProxies,
      proxyLostAfterMs: LOST_AFTER_MS,
      nowMs: this.nowMs,
    });
    world.kept.term = term;
  }

  get nowMs(): number {
    return this.#world.agenda.nowMs - this.#stoodMs;
  }

  end(): void {
    this.state = 'ended';
  }

  suspend(): void {
    this.state = 'suspended';
    this.#suspendedMs = this.#world.agenda.nowMs;
  }

  /** @param clock whether it has gone on meanwhile: a process that was stopped, or a machine */
  resume(clock: 'went_on' | 'stood'): void {
    if (this.state !== 'suspended') return;
    this.state = 'running';
    if (clock === 'stood') this.#stoodMs += this.#world.agenda.nowMs - this.#suspendedMs;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (this.#world.chance.happens(0.5)) this.step();
    for (const happen of waiting) this.#whenRunning(happen);
  }

  serve(config: SimulatedConfig): void {
    this.#whenRunning(() => {
      const before = this.#config;
      if (config.position <= before.position) return;
      const isWide = before.servers !== config.servers;
      const changed = config.allKeys.filter((key) => config.all.get(key) !== before.all.get(key));
      this.#config = config;
      this.allocator.configChanged(config.budget, changed, isWide ? 'all' : 'named');
    });
  }

  needs(message: ProxyNeeds): void {
    this.#whenRunning(() => {
      this.allocator.needs(message, this.nowMs);
      this.step();
    });
  }

  step(): void {
    if (this.state !== 'running') return;
    const { grants, looks, members } = this.allocator.step(this.nowMs);
    for (const grant of grants) this.#send(grant);
    for (const look of looks) this.#look(look);
    if (members !== undefined) this.#write(members);
    if (this.allocator.deposedBy === 0) return;
    this.#world.say(`${this.name} is deposed by term ${this.allocator.deposedBy}`);
    this.end();
  }

  #whenRunning(happen: () => void): void {
    if (this.state === 'suspended') this.#waiting.push(() => this.#whenRunning(happen));
    else if (this.state === 'running') happen();
  }

  #send(grant: BudgetGrant): void {
    const { network, agenda, proxyOf, say } = this.#world;
    if (grant.tenants.length + grant.released.length > 0 || grant.share !== undefined) {
      say(`grant ${grant.term}.${grant.number} to ${grant.proxy}: ${describe(grant)}`);
    }
    let isAnswered = false;
    const answered = (answer: GrantAnswer | 'no_answer'): void => {
      this.#whenRunning(() => {
        if (isAnswered) return;
        isAnswered = true;
        this.allocator.grantAnswered(grant, answer, this.nowMs);
        this.step();
      });
    };
    network.send(this.name, grant.proxy, () => {
      proxyOf(grant.proxy)?.grant(grant, (answer) => {
        network.send(grant.proxy, this.name, () => answered(answer));
      });
    });
    agenda.after(BUDGET_LIMITS.grantTimeoutMs, () => answered('no_answer'));
  }

  #look({ number, looker, request }: LookOrder): void {
    const { network, agenda, proxyOf, say } = this.#world;
    const { proxy, upToLife } = request.left;
    let isAnswered = false;
    const answered = (answer: LookAnswer | 'no_answer'): void => {
      this.#whenRunning(() => {
        if (isAnswered) return;
        isAnswered = true;
        say(`look of ${looker} for ${proxy}/${upToLife} in ${request.tenant}: ${words(answer)}`);
        this.allocator.lookAnswered(number, answer, this.nowMs);
        this.step();
      });
    };
    network.send(this.name, looker, () => {
      proxyOf(looker)?.look(request, (answer) => {
        network.send(looker, this.name, () => answered(answer));
      });
    });
    agenda.after(BUDGET_LIMITS.lookTimeoutMs, () => answered('no_answer'));
  }

  /** Written over exactly what was read or written last: who finds another is superseded. */
  #write(fleet: RecordedFleet): void {
    const { agenda, chance, network, kept } = this.#world;
    if (kept.term !== this.term) return this.end();
    const isWritten = !network.isCut(this.name) && !chance.happens(0.05);
    if (isWritten) kept.fleet = fleet;
    const outcome = isWritten && !chance.happens(0.02) ? 'written' : 'failed';
    agenda.after(chance.between(1, 20), () => {
      this.#whenRunning(() => {
        this.allocator.membersWritten(outcome, this.nowMs);
        this.step();
      });
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
