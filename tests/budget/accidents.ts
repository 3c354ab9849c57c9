/** What happens to the simulated world by chance. Leaves how often to weather.ts. */
import { EVERY_KEY } from './simulated-config.ts';
import type { SimulatedTenant } from './simulated-config.ts';
import type { SimulatedProxy } from './simulated-proxy.ts';
import type { Simulation } from './simulation.ts';
import type { Accident } from './weather.ts';

const PROXIES_MAX = 8;

export function maybeAccident(world: Simulation): void {
  const { chance, weather } = world;
  if (!chance.happens(weather.accidents)) return;
  const kind = chance.oneOf(weather.kinds);
  if (kind !== undefined) ACCIDENT[kind](world);
}

const ACCIDENT: Readonly<Record<Accident, (world: Simulation) => void>> = {
  kill: (world) => withOne(world, killFor),
  stop: (world) => withOne(world, (_, proxy) => stopFor(world, proxy, 'went_on')),
  suspend: (world) => withOne(world, (_, proxy) => stopFor(world, proxy, 'stood')),
  join: (world) => {
    if (world.proxies.size < PROXIES_MAX) world.join();
  },
  leave: (world) => {
    if (world.running.length < 2) return;
    withOne(world, (_, proxy) => {
      world.say(`${proxy.id} leaves`);
      proxy.leave();
    });
  },
  control_ends: (world) => world.endControl(),
  control_is_suspended: (world) => world.suspendControl(),
  cut_proxy: (world) => withOne(world, (_, proxy) => cutFor(world, proxy.id)),
  cut_control: (world) => {
    if (world.leader !== undefined) cutFor(world, world.leader.name);
  },
  network: (world) => {
    const { network } = world;
    network.quality = network.quality === 'bad' ? 'whole' : 'bad';
    world.say(`the network is ${network.quality}`);
  },
  closing: ({ server }) => {
    server.closing = server.closing === 'late' ? 'prompt' : 'late';
  },
  limit: (world) => changeLimit(world, aTenant(world)),
  limit_there_and_back: (world) => thereAndBack(world),
  tenant: (world) => addOrRemove(world),
  server: (world) => changeServer(world),
  all_want: (world) => {
    const key = aTenant(world);
    for (const proxy of world.running) proxy.want(key, world.config.maxOf(key));
  },
};

function withOne(
  world: Simulation,
  happen: (world: Simulation, proxy: SimulatedProxy) => void,
): void {
  const proxy = world.chance.oneOf(world.running);
  if (proxy !== undefined) happen(world, proxy);
}

function aTenant({ chance, config }: Simulation): string {
  return chance.oneOf([...config.all.keys()]) ?? 't1';
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

export function restart(world: Simulation, proxy: SimulatedProxy): void {
  if (proxy.state !== 'ended' || proxy.config === undefined) return;
  world.say(`${proxy.id} starts again`);
  // What it serves may be what its disk has, while nobody tells it anything newer.
  const { config } = proxy;
  const isOld = world.network.isCut(proxy.id) || world.chance.happens(world.weather.slowConfigs);
  proxy.start(isOld ? config : world.config);
  world.tellConfig(proxy);
}

function stopFor(world: Simulation, proxy: SimulatedProxy, clock: 'went_on' | 'stood'): void {
  const { agenda, chance } = world;
  world.say(`${proxy.id} is stopped`);
  proxy.stop();
  agenda.after(chance.between(20, chance.happens(0.5) ? 25_000 : 3_000), () => {
    if (proxy.state === 'stopped') world.say(`${proxy.id} goes on, its clock ${clock}`);
    proxy.resume(clock);
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

function changeLimit(world: Simulation, key: string): void {
  const { chance, weather, config } = world;
  const { maxConnections } = weather;
  const former = config.maxOf(key);
  const step = former <= 1 || (former < maxConnections && chance.happens(0.5)) ? 1 : -1;
  const max = weather.limits === 'by_one' ? former + step : chance.whole(1, maxConnections);
  setLimit(world, key, max);
}

/** Another change is on its way before the first one has arrived everywhere. */
function thereAndBack(world: Simulation): void {
  const { chance, config, agenda } = world;
  const key = aTenant(world);
  const former = config.maxOf(key);
  changeLimit(world, key);
  agenda.after(chance.between(1, chance.happens(0.5) ? 100 : 3_000), () => {
    // Meanwhile it may have been removed.
    const isThere = world.config.all.has(key);
    if (isThere && chance.happens(0.7)) setLimit(world, key, former);
    else changeLimit(world, aTenant(world));
  });
}

function setLimit(world: Simulation, key: string, maxConnections: number): void {
  const all = new Map<string, SimulatedTenant>(world.config.all);
  const server = all.get(key)?.server ?? (world.chance.happens(0.7) ? 'db' : 'other');
  all.set(key, { maxConnections, server });
  world.change(all);
}

function addOrRemove(world: Simulation): void {
  const { chance, config, weather } = world;
  const key = chance.oneOf(EVERY_KEY) ?? 't1';
  if (!config.all.has(key)) {
    setLimit(world, key, chance.whole(1, weather.maxConnections));
  } else if (config.all.size > 1) {
    const all = new Map<string, SimulatedTenant>(config.all);
    all.delete(key);
    world.change(all);
  }
}

function changeServer(world: Simulation): void {
  const { chance, config } = world;
  const servers = new Map(config.servers);
  if (servers.has('db') && chance.happens(0.5)) servers.delete('db');
  else servers.set('db', chance.whole(1, 15));
  world.serverLowers('db');
  world.change(config.all, servers);
}
