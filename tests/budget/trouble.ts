/**
 * One run of the simulation: demand and faults by chance, then calm, then the question whether
 * everything can still be had.
 */
import { EVERY_KEY } from './simulated-config.ts';
import type { SimulatedTenant } from './simulated-config.ts';
import type { SimulatedProxy } from './simulated-proxy.ts';
import { Simulation } from './simulation.ts';
import type { SimulationOptions } from './simulation.ts';
import { CONTROL } from './simulated-control.ts';

/** Within so long after the last fault, demand is met again. */
const CALM_MS = 25_000;
/** Within so long everybody who wants one has had a slot, however many they are. */
const SERVED_WITHIN_MS = 15_000;

/** @throws InvariantBroken with the seed and what happened before. */
export function simulate(options: SimulationOptions): void {
  const world = new Simulation(options);
  world.run(options.troubleMs, () => {
    changeDemand(world);
    maybeFault(world);
  });
  calm(world);
  world.run(CALM_MS);
  requireDemandMet(world);
  requireAllGrantable(world);
}

function changeDemand({ chance, running, config }: Simulation): void {
  if (chance.happens(0.001)) {
    // Everybody wants all of one tenant at once, without having said so before.
    const key = chance.oneOf([...config.all.keys()]) ?? 't1';
    for (const proxy of running) proxy.want(key, config.maxOf(key));
  }
  for (const proxy of running) {
    if (!chance.happens(0.006)) continue;
    const key = chance.oneOf([...config.all.keys()]);
    if (key === undefined) continue;
    const most = Math.max(1, config.maxOf(key) + 2);
    proxy.want(key, chance.happens(0.4) ? 0 : chance.whole(1, most));
  }
}

function maybeFault(world: Simulation): void {
  const { chance, network, running, proxies } = world;
  if (!chance.happens(0.008)) return;
  const proxy = chance.oneOf(running);
  const kind = chance.whole(1, 17);
  if (kind <= 2 && proxy !== undefined) killFor(world, proxy);
  else if (kind <= 4 && proxy !== undefined) stopFor(world, proxy);
  else if (kind === 5 && proxies.size < 8) world.join();
  else if (kind === 6 && proxy !== undefined && running.length > 1) {
    world.say(`${proxy.id} leaves`);
    proxy.leave();
  } else if (kind === 7) world.endControl();
  else if (kind === 8 && proxy !== undefined) cutFor(world, proxy.id);
  else if (kind === 9) cutFor(world, CONTROL);
  else if (kind === 10) {
    network.quality = network.quality === 'bad' ? 'whole' : 'bad';
    world.say(`the network is ${network.quality}`);
  } else if (kind === 11) {
    world.server.closing = world.server.closing === 'late' ? 'prompt' : 'late';
  } else if (kind <= 14) changeConfig(world);
  else if (proxy !== undefined) cutFor(world, proxy.id);
}

function killFor(world: Simulation, proxy: SimulatedProxy): void {
  const { agenda, chance } = world;
  const disk = chance.happens(0.85) ? 'kept' : 'lost';
  world.say(`${proxy.id} is killed, its disk ${disk}`);
  proxy.kill(disk);
  if (disk === 'lost' || chance.happens(0.2)) return;
  agenda.after(chance.between(30, chance.happens(0.3) ? 20_000 : 2_000), () =>
    restart(world, proxy),
  );
}

function restart(world: Simulation, proxy: SimulatedProxy): void {
  if (proxy.state !== 'ended' || proxy.config === undefined) return;
  world.say(`${proxy.id} starts again`);
  // What it serves may be what its disk has, while nobody tells it anything newer.
  const { config } = proxy;
  proxy.start(world.network.isCut(proxy.id) ? config : world.config);
  world.tellConfig(proxy);
}

function stopFor(world: Simulation, proxy: SimulatedProxy): void {
  const { agenda, chance } = world;
  world.say(`${proxy.id} is stopped`);
  proxy.stop();
  agenda.after(chance.between(20, chance.happens(0.5) ? 25_000 : 3_000), () => {
    if (proxy.state === 'stopped') world.say(`${proxy.id} goes on`);
    proxy.resume();
  });
}

function cutFor(world: Simulation, place: string): void {
  const { agenda, chance, network } = world;
  if (network.isCut(place)) return;
  world.say(`${place} is cut off`);
  network.cut(place);
  agenda.after(chance.between(50, chance.happens(0.7) ? 25_000 : 2_000), () => {
    network.mend(place);
    world.say(`${place} is reached again`);
  });
}

function changeConfig(world: Simulation): void {
  const { chance, config } = world;
  const all = new Map<string, SimulatedTenant>(config.all);
  const key = chance.oneOf(EVERY_KEY) ?? 't1';
  const known = all.get(key);
  const server = chance.happens(0.7) ? 'db' : 'other';
  if (known !== undefined && chance.happens(0.1) && all.size > 1) all.delete(key);
  else all.set(key, { maxConnections: chance.whole(1, 12), server: known?.server ?? server });
  let { servers } = config;
  if (chance.happens(0.2)) {
    const next = new Map(servers);
    if (next.has('db') && chance.happens(0.5)) next.delete('db');
    else next.set('db', chance.whole(1, 15));
    servers = next;
    world.serverLowers('db');
  }
  world.change(all, servers);
}

/** All faults end: who is dead stays dead, and is forgotten by an operator. */
function calm(world: Simulation): void {
  world.say('calm');
  world.network.heal();
  world.server.closing = 'prompt';
  for (const proxy of world.proxies.values()) {
    proxy.resume();
    if (proxy.state === 'ended' && proxy.config !== undefined && proxy.life > 0) {
      if (proxy.ending === 'unknown') restart(world, proxy);
    }
  }
  if (world.running.length === 0) world.join();
  for (const proxy of world.running) {
    for (const key of world.config.all.keys()) {
      proxy.want(
        key,
        world.chance.happens(0.4) ? 0 : world.chance.whole(1, world.config.maxOf(key)),
      );
    }
  }
  forgetDead(world);
}

/** As soon as they count as lost. */
function forgetDead(world: Simulation): void {
  const { control, agenda, proxies } = world;
  for (const proxy of proxies.values()) {
    if (proxy.state !== 'ended') continue;
    const outcome = control.allocator?.forget(proxy.id, agenda.nowMs);
    if (outcome === 'forgotten') world.say(`${proxy.id} is forgotten`);
  }
  for (const { proxy } of control.fleet.members) {
    if (proxies.has(proxy)) continue;
    control.allocator?.forget(proxy, agenda.nowMs);
  }
  agenda.after(500, () => forgetDead(world));
}

function requireDemandMet(world: Simulation): void {
  const { running, config, agenda } = world;
  for (const key of config.all.keys()) {
    const wanting = running.filter((proxy) => proxy.pool(key).demand > 0);
    for (const proxy of wanting) {
      const unservedMs = agenda.nowMs - proxy.pool(key).servedMs;
      if (unservedMs > SERVED_WITHIN_MS) {
        world.fail(`${proxy.id} was not served for ${key} for ${unservedMs.toFixed(0)} ms`);
      }
    }
    if (config.servers.has(config.all.get(key)?.server ?? '')) continue;
    const idle = running.filter((proxy) => proxy.pool(key).demand === 0);
    const kept = idle.filter((proxy) => partOf(world, proxy, key) > 0).length;
    const looks = running.length > 1 && wanting.length === 1 ? 1 : 0;
    const demand = wanting.reduce((sum, proxy) => sum + proxy.pool(key).demand, 0);
    if (demand > config.maxOf(key) - Math.max(kept, looks)) continue;
    for (const proxy of wanting) {
      const cap = proxy.capOf(key);
      const wanted = proxy.pool(key).demand;
      if (cap < wanted) world.fail(`${proxy.id} may have ${cap} of ${key}, and wants ${wanted}`);
    }
  }
}

/** Nothing is lost for good, and an idle slot moves at once. */
function requireAllGrantable(world: Simulation): void {
  const { running, config, control } = world;
  for (const proxy of running) for (const key of EVERY_KEY) proxy.want(key, 0);
  world.run(14_000);
  const books = control.allocator?.books;
  const divisors = new Set(running.map((proxy) => books?.proxies.get(proxy.id)?.divisorLeast));
  if (divisors.size !== 1) world.fail(`the parts differ: ${[...divisors].join(', ')}`);
  if (books?.leftovers.size !== 0) world.fail('slots are still not known to be free');
  const one = running[0];
  if (one === undefined) return;
  for (const [key, { server }] of config.all) {
    const most = running.length > 1 ? Math.max(1, config.maxOf(key) - 1) : config.maxOf(key);
    const others = running.length > 1 ? reservedByOthers(world, one, key) : 0;
    const reachable = Math.min(most, config.maxOf(key) - others, config.servers.get(server) ?? 1e9);
    one.want(key, reachable);
    world.run(500);
    const cap = one.capOf(key);
    if (cap < reachable) {
      world.fail(`after 500 ms ${one.id} may have ${cap} of ${key}, of ${reachable} free ones`);
    }
    one.want(key, 0);
    // The longest use, and what was wanted counts for another second.
    world.run(4_500);
  }
}

/** One slot stays with each other proxy that has a part. */
function reservedByOthers(world: Simulation, one: SimulatedProxy, key: string): number {
  return world.running.filter((other) => other !== one && partOf(world, other, key) > 0).length;
}

function partOf({ control, config }: Simulation, proxy: SimulatedProxy, key: string): number {
  if (config.servers.has(config.all.get(key)?.server ?? '')) return 0;
  const divisor = control.allocator?.books.proxies.get(proxy.id)?.divisorLeast ?? Infinity;
  return Math.floor(config.maxOf(key) / divisor);
}
