/**
 * One run of the simulation: demand and faults by chance, then calm, then the question whether
 * everything can still be had.
 */
import { maybeAccident, restart } from './accidents.ts';
import { EVERY_KEY } from './simulated-config.ts';
import type { SimulatedProxy } from './simulated-proxy.ts';
import { Simulation } from './simulation.ts';
import type { SimulationOptions } from './simulation.ts';

/** Within so long after the last fault, demand is met again. */
const CALM_MS = 25_000;
/** Within so long everybody who wants one has had a slot, however many they are. */
const SERVED_WITHIN_MS = 15_000;

/** @throws InvariantBroken with the seed and what happened before. */
export function simulate(options: SimulationOptions): void {
  const world = new Simulation(options);
  world.run(options.troubleMs, () => {
    changeDemand(world);
    maybeAccident(world);
  });
  calm(world);
  world.run(CALM_MS);
  requireDemandMet(world);
  requireAllGrantable(world);
}

function changeDemand({ chance, running, config, weather }: Simulation): void {
  for (const proxy of running) {
    if (!chance.happens(weather.moods)) continue;
    const key = chance.oneOf([...config.all.keys()]);
    if (key === undefined) continue;
    const most = Math.max(1, config.maxOf(key) + 2);
    proxy.want(key, chance.happens(weather.modesty) ? 0 : chance.whole(1, most));
  }
}

/** All faults end: who is dead stays dead, and is forgotten by an operator. */
function calm(world: Simulation): void {
  world.say('calm');
  world.network.heal();
  world.server.closing = 'prompt';
  world.calmControls();
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
  const { leader, agenda, proxies, membersKept } = world;
  for (const proxy of proxies.values()) {
    if (proxy.state !== 'ended') continue;
    const outcome = leader?.allocator.forget(proxy.id, agenda.nowMs);
    if (outcome === 'forgotten') world.say(`${proxy.id} is forgotten`);
  }
  for (const { proxy } of membersKept) {
    if (proxies.has(proxy)) continue;
    leader?.allocator.forget(proxy, agenda.nowMs);
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
  const { running, config, leader } = world;
  for (const proxy of running) for (const key of EVERY_KEY) proxy.want(key, 0);
  world.run(14_000);
  const books = leader?.allocator.books;
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

function partOf({ leader, config }: Simulation, proxy: SimulatedProxy, key: string): number {
  if (config.servers.has(config.all.get(key)?.server ?? '')) return 0;
  const divisor = leader?.allocator.books.proxies.get(proxy.id)?.divisorLeast ?? Infinity;
  return Math.floor(config.maxOf(key) / divisor);
}
