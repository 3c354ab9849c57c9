/**
 * The fleet-wide budget in a world of its own: real allocator, real obedience, simulated time,
 * network, database and faults. Everything follows from a seed.
 * Checked: invariant 1 at every connection that is opened; that demand is met once the faults end;
 * that an idle slot moves within 500 ms; that in the end all slots can be granted again.
 */
import type { Member } from '@dbbouncer/control-plane/budget/members.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { Chance } from './chance.ts';
import { DatabaseServer } from './database-server.ts';
import type { Connection } from './database-server.ts';
import { Agenda, Network } from './network.ts';
import { SimulatedControl } from './simulated-control.ts';
import type { ControlSurroundings } from './simulated-control.ts';
import { EVERY_KEY, SimulatedConfig } from './simulated-config.ts';
import type { SimulatedTenant } from './simulated-config.ts';
import { SimulatedProxy } from './simulated-proxy.ts';
import { weatherOf } from './weather.ts';
import type { Weather } from './weather.ts';

const STEP_MS = 5;
const LOWERED_EVERY_MS = 50;
const TRACE_LINES = 60;

export interface SimulationOptions {
  readonly seed: number;
  /** How long faults happen, of simulated time. */
  readonly troubleMs: number;
  /** Default: by chance. */
  readonly weather?: Weather;
  readonly say?: (line: string) => void;
}

export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken';
}

export class Simulation {
  readonly seed: number;
  readonly chance: Chance;
  readonly agenda = new Agenda();
  readonly network: Network;
  readonly server: DatabaseServer;
  readonly weather: Weather;
  /** All that have begun and not ended; the last one leads, or nobody. */
  readonly controls: SimulatedControl[] = [];
  readonly proxies = new Map<string, SimulatedProxy>();
  readonly #say: ((line: string) => void) | undefined;
  readonly #trace: string[] = [];
  config: SimulatedConfig;
  /** What may be occupied: the newest limit, or a former one until that has been reached. */
  readonly #allowed = new Map<string, number>();
  readonly #aroundControl: ControlSurroundings;
  #controlBeginsMs = Infinity;
  #loweredMs = 0;
  #named = 0;

  constructor({ seed, say, weather }: SimulationOptions) {
    this.seed = seed;
    this.#say = say;
    this.chance = new Chance(seed);
    this.weather = weather ?? weatherOf(this.chance);
    this.network = new Network(this.agenda, this.chance, this.weather.network);
    this.server = new DatabaseServer(this.agenda, this.chance);
    this.server.onOpened = (connection) => this.#checkOpened(connection);
    this.config = this.#firstConfig();
    this.#aroundControl = {
      agenda: this.agenda,
      chance: this.chance,
      network: this.network,
      kept: { term: 0, fleet: { members: [], areAll: 'surely' } },
      proxyOf: (id) => this.proxies.get(id),
      say: (line) => this.say(line),
    };
    this.#beginControl();
    for (let count = this.weather.proxies; count > 0; count--) this.join();
    for (const key of EVERY_KEY) this.#allowed.set(key, this.config.maxOf(key));
  }

  say(line: string): void {
    const text = `${this.agenda.nowMs.toFixed(1).padStart(9)}  ${line}`;
    this.#trace.push(text);
    if (this.#trace.length > TRACE_LINES) this.#trace.shift();
    this.#say?.(text);
  }

  fail(what: string): never {
    const books = [...this.proxies.values()].map(({ described }) => described);
    const lines = [`seed ${this.seed}: ${what}`, ...this.#trace, ...books, ...this.#booked()];
    throw new InvariantBroken(lines.join('\n'));
  }

  join(): SimulatedProxy {
    const id = `p${++this.#named}` as ProxyId;
    const proxy = new SimulatedProxy(id, {
      agenda: this.agenda,
      chance: this.chance,
      server: this.server,
      clocks: this.weather.clocks,
      say: (line) => this.say(line),
      tell: (needs) => {
        for (const control of this.controls) {
          this.network.send(id, control.name, () => control.needs(needs));
        }
      },
    });
    this.proxies.set(id, proxy);
    this.say(`${id} joins`);
    proxy.start(this.config);
    return proxy;
  }

  /** The control plane that leads, also while it is suspended. */
  get leader(): SimulatedControl | undefined {
    const last = this.controls.at(-1);
    return this.#controlBeginsMs === Infinity && last?.state !== 'ended' ? last : undefined;
  }

  get membersKept(): readonly Member[] {
    return this.#aroundControl.kept.fleet.members;
  }

  endControl(): void {
    if (this.leader === undefined) return;
    this.say('the control plane ends');
    this.leader.end();
    this.#controlBeginsMs = this.agenda.nowMs + this.chance.between(100, 9_000);
  }

  /** Another begins while it is, unless it goes on before. */
  suspendControl(): void {
    const { leader, chance, agenda } = this;
    if (leader?.state !== 'running') return;
    this.say(`${leader.name} is suspended`);
    leader.suspend();
    const isSucceeded = chance.happens(0.7);
    const aloneMs = chance.between(100, 9_000);
    if (isSucceeded) this.#controlBeginsMs = agenda.nowMs + aloneMs;
    agenda.after(isSucceeded ? aloneMs + chance.between(0, 9_000) : aloneMs, () => {
      this.say(`${leader.name} goes on`);
      leader.resume(chance.happens(0.6) ? 'stood' : 'went_on');
    });
    // It finds out sooner or later that it does not lead any more.
    if (isSucceeded) agenda.after(aloneMs + 9_000 + chance.between(0, 4_000), () => leader.end());
  }

  /** One control plane is left, or will be. */
  calmControls(): void {
    const { leader } = this;
    leader?.resume('went_on');
    for (const control of this.controls) if (control !== leader) control.end();
  }

  get running(): readonly SimulatedProxy[] {
    return [...this.proxies.values()].filter((one) => one.isRunning && one.leaving === 'no');
  }

  /** A new config; everybody hears of it, some sooner. */
  change(all: ReadonlyMap<string, SimulatedTenant>, servers = this.config.servers): void {
    this.config = new SimulatedConfig(this.config.position + 1, all, servers, this.config);
    const { config } = this;
    const shown = [...all].map(([key, { maxConnections }]) => `${key}=${maxConnections}`);
    this.say(`config ${config.position}: ${shown.join(' ')} ${[...servers].join(' ')}`);
    for (const key of EVERY_KEY) {
      this.#allowed.set(key, Math.max(this.#allowed.get(key) ?? 0, config.maxOf(key)));
    }
    // Proxies are told by the one that leads, after it has told itself.
    for (const control of this.controls) control.serve(config);
    for (const proxy of this.proxies.values()) {
      const isSlow = this.chance.happens(this.weather.slowConfigs);
      const slowMs = isSlow ? this.chance.between(100, 5_000) : 0;
      this.agenda.after(slowMs + this.chance.between(1, 40), () => this.#deliver(proxy, config));
    }
  }

  /** Lets simulated time go by; `each` is called at every step. */
  run(ms: number, each: () => void = () => {}): void {
    const endMs = this.agenda.nowMs + ms;
    while (this.agenda.nowMs < endMs) {
      this.agenda.run(this.agenda.nowMs + STEP_MS);
      if (this.agenda.nowMs >= this.#controlBeginsMs) this.#beginControl();
      each();
      for (const proxy of this.proxies.values()) proxy.step();
      for (const control of this.controls) control.step();
      if (this.agenda.nowMs - this.#loweredMs >= LOWERED_EVERY_MS) this.#lowerAllowed();
    }
  }

  /** A proxy that was started, with a config that may be old: it is told the newest. */
  tellConfig(proxy: SimulatedProxy): void {
    this.agenda.after(this.chance.between(1, 40), () => this.#deliver(proxy, this.config));
  }

  held(key: string): number {
    const open = this.server.of(key);
    return open.length - this.#excused(open);
  }

  #beginControl(): void {
    const { config, weather } = this;
    this.#controlBeginsMs = Infinity;
    const term = (this.controls.at(-1)?.term ?? 0) + 1;
    const options = { term, config, expectedProxies: weather.expectedProxies };
    const others = this.controls.filter(({ state }) => state !== 'ended');
    const control = new SimulatedControl(this.#aroundControl, options);
    this.controls.splice(0, this.controls.length, ...others, control);
    this.say(`a control plane begins term ${term}`);
  }

  /** Deltas are not lost: who cannot be reached gets them later. */
  #deliver(proxy: SimulatedProxy, config: SimulatedConfig): void {
    if (!this.proxies.has(proxy.id) || proxy.state === 'ended') return;
    if (this.network.isCut(proxy.id)) {
      this.agenda.after(100, () => this.#deliver(proxy, config));
    } else proxy.serve(config);
  }

  #checkOpened({ tenant }: Connection): void {
    const held = this.held(tenant);
    const allowed = this.#allowed.get(tenant) ?? 0;
    if (held > allowed) {
      const open = this.server
        .of(tenant)
        .map(
          ({ proxy, life, state, isAbandoned }) =>
            `${proxy}/${life}:${state}${isAbandoned ? '!' : ''}`,
        );
      this.fail(`${held} connections of ${tenant}, ${allowed} are allowed: ${open.join(' ')}`);
    }
    this.#checkServers();
  }

  #checkServers(): void {
    for (const [name, cap] of this.config.servers) {
      if (this.#isServerChanging(name)) continue;
      let held = 0;
      for (const [key, { server }] of this.config.all) if (server === name) held += this.held(key);
      if (held > cap) this.fail(`${held} connections of server ${name}, ${cap} are allowed`);
    }
  }

  /** Until what was there before a server was declared, or lowered, has gone. */
  #isServerChanging(name: string): boolean {
    return this.#serversLowering.has(name);
  }

  readonly #serversLowering = new Set<string>();

  serverLowers(name: string): void {
    this.#serversLowering.add(name);
  }

  /**
   * A restarted proxy needs one connection to look for what it has left. One that has not logged in
   * while its proxy is stopped, or before it was killed, never will: the server ends it.
   */
  #excused(open: readonly Connection[]): number {
    let excused = 0;
    let lookers = 0;
    const isAnyLeft = open.some(({ proxy, life }) => life < (this.proxies.get(proxy)?.life ?? 0));
    for (const proxy of this.proxies.values()) {
      const own = open.filter((one) => one.proxy === proxy.id);
      const isNew = own.some(({ life }) => life === proxy.life);
      const never = own.filter(
        ({ state, life }) =>
          state === 'dialing' && (proxy.state !== 'running' || life < proxy.life),
      );
      const hasLeft = own.some((one) => one.life < proxy.life && !never.includes(one));
      if (isNew && hasLeft) excused += 1;
      else if (isNew && isAnyLeft && proxy.isUnlooked) lookers = 1;
      excused += never.length;
    }
    return excused + lookers;
  }

  #lowerAllowed(): void {
    this.#loweredMs = this.agenda.nowMs;
    // One that has ended may come back with what its disk has.
    const isServed = [...this.proxies.values()].every(
      ({ config }) => config === undefined || config.position === this.config.position,
    );
    if (!isServed) return;
    for (const key of EVERY_KEY) {
      const most = Math.max(this.config.maxOf(key), this.#mostOf([key]));
      this.#allowed.set(key, Math.min(most, this.#allowed.get(key) ?? 0));
    }
    for (const name of this.#serversLowering) {
      const keys = [...this.config.all].filter(([, { server }]) => server === name);
      const most = this.#mostOf(keys.map(([key]) => key));
      if (most <= (this.config.servers.get(name) ?? Infinity)) this.#serversLowering.delete(name);
    }
  }

  /**
   * What is held, or may be as soon as leases are renewed and what is under way arrives: a lowered
   * limit is reached when that fits.
   */
  #mostOf(keys: readonly string[]): number {
    const books = this.leader?.allocator.books;
    if (books?.config.position !== this.config.position) return Infinity;
    let most = 0;
    let booked = 0;
    for (const key of keys) {
      for (const proxy of this.proxies.values()) most += proxy.mostOf(key);
      const tenant = books.tenants.get(key);
      for (const proxy of books.proxies.values()) booked += tenant?.liability(proxy) ?? 0;
    }
    return Math.max(most, booked);
  }

  #firstConfig(): SimulatedConfig {
    const all = new Map<string, SimulatedTenant>();
    const { tenants, maxConnections } = this.weather;
    for (const key of EVERY_KEY.slice(0, tenants)) {
      all.set(key, { maxConnections: this.chance.whole(1, maxConnections), server: 'db' });
    }
    return new SimulatedConfig(1, all, new Map());
  }

  #booked(): readonly string[] {
    const allocator = this.leader?.allocator;
    if (allocator === undefined) return ['no control plane'];
    const lines: string[] = [];
    for (const tenant of allocator.books.tenants.values()) {
      for (const [proxy, entry] of tenant.entries) {
        const figures = [entry.told, entry.sent?.figures, entry.planned].map((one) =>
          one === undefined ? '-' : one.follows === 'formula' ? 'f' : `${one.floor}/${one.limit}`,
        );
        lines.push(
          `books: ${tenant.key} ${proxy.id} told ${figures.join(' ')} held ${entry.held}` +
            ` left ${entry.left} wanted ${entry.wanted} liable ${entry.liability}`,
        );
      }
    }
    for (const { name, max, total, contendedMs, tenants } of allocator.books.servers.values()) {
      const each = [...tenants].map((one) => `${one.key} ${one.total}/${one.allotted ?? '-'}`);
      const when = contendedMs ?? 'never';
      lines.push(`books: server ${name} ${total} of ${max}, contended ${when}: ${each.join()}`);
    }
    for (const proxy of allocator.books.proxies.values()) {
      lines.push(
        `books: ${proxy.id}/${proxy.life} ${proxy.standing} lease ${proxy.lease}` +
          ` divisor ${proxy.divisorLeast} recorded ${proxy.recorded}`,
      );
    }
    return lines;
  }
}
