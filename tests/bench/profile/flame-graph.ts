/**
 * A CPU profile of Node (`--cpu-prof`) as an SVG: the width of a frame is its share of the busy
 * time, what it called stands below it. Time in which the process waited is left out.
 * Source: Chrome DevTools Protocol, "Profiler.Profile"; an idea of Brendan Gregg's.
 */
import { basename } from 'node:path';
import { escaped } from '../chart.ts';

/** What `node --cpu-prof` writes, as far as it is read here. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Of the monotonic clock, which all processes share; in microseconds. */
  readonly startTime: number;
  /** Ids of nodes, and after how many microseconds each sample was taken. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

/** Calls of one function from one place, all of them in one. */
interface Frame {
  readonly name: string;
  readonly kind: Kind;
  selfUs: number;
  totalUs: number;
  readonly callees: Map<string, Frame>;
}

type Kind = 'project' | 'package' | 'node' | 'engine';

const COLOURS: Readonly<Record<Kind, string>> = {
  project: '#e8743b',
  package: '#f2b34c',
  node: '#7aa6c2',
  engine: '#b9b9b9',
};
const WIDTH = 1_200;
const ROW_HEIGHT = 16;
const TOP = 44;
/** Narrower ones would only make the file large. */
const WIDTH_MIN = 1.2;
const CHARACTER_WIDTH = 6;
const IDLE = '(idle)';

/** Only what was sampled between two times, in microseconds of the monotonic clock. */
export function within(profile: CpuProfile, fromUs: number, toUs: number): CpuProfile {
  let atUs = profile.startTime;
  const kept = profile.timeDeltas.map((delta) => {
    atUs += delta;
    return atUs >= fromUs && atUs <= toUs;
  });
  return {
    ...profile,
    samples: profile.samples.filter((_, index) => kept[index]),
    timeDeltas: profile.timeDeltas.filter((_, index) => kept[index]),
  };
}

export function flameGraph(profile: CpuProfile, title: string): string {
  const root = merged(profile);
  const boxes = [...boxesOf(root, { left: 0, depth: 0, unitUs: root.totalUs / WIDTH })];
  const depth = Math.max(...boxes.map(({ row }) => row));
  const height = TOP + (depth + 1) * ROW_HEIGHT + 6;
  const legend = Object.entries(COLOURS).map(
    ([kind, colour], index) =>
      `<rect x="${index * 90}" y="24" width="10" height="10" fill="${colour}"/>` +
      `<text x="${index * 90 + 14}" y="33">${kind}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" \
font-family="monospace" font-size="10">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="0" y="14" font-size="13">${escaped(title)}</text>
${legend.join('\n')}
${boxes.map(({ svg }) => svg).join('\n')}
</svg>
`;
}

/** Shares of the busy time that functions took themselves, the largest first. */
export function selfTimes(
  profile: CpuProfile,
): readonly (readonly [name: string, share: number])[] {
  const root = merged(profile);
  const times = new Map<string, number>();
  const add = ({ name, selfUs, callees }: Frame): void => {
    times.set(name, (times.get(name) ?? 0) + selfUs / root.totalUs);
    for (const callee of callees.values()) add(callee);
  };
  for (const frame of root.callees.values()) add(frame);
  return [...times].toSorted(([, one], [, other]) => other - one);
}

function merged(profile: CpuProfile): Frame {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const selfUs = new Map<number, number>();
  for (const [index, id] of profile.samples.entries()) {
    selfUs.set(id, (selfUs.get(id) ?? 0) + (profile.timeDeltas[index] ?? 0));
  }
  const root: Frame = newFrame('all', 'engine');
  const [top] = profile.nodes;
  for (const id of top?.children ?? []) add(root, id);
  root.totalUs = sum(root);
  return root;

  function add(caller: Frame, id: number): void {
    const node = nodes.get(id);
    if (node === undefined || node.callFrame.functionName === IDLE) return;
    const name = nameOf(node);
    const frame = caller.callees.get(name) ?? newFrame(name, kindOf(node));
    caller.callees.set(name, frame);
    const own = selfUs.get(id) ?? 0;
    frame.selfUs += own;
    for (const child of node.children ?? []) add(frame, child);
    frame.totalUs = frame.selfUs + sum(frame);
  }
}

function newFrame(name: string, kind: Kind): Frame {
  return { name, kind, selfUs: 0, totalUs: 0, callees: new Map() };
}

function sum({ callees }: Frame): number {
  return [...callees.values()].reduce((total, { totalUs }) => total + totalUs, 0);
}

function nameOf({ callFrame: { functionName, url } }: ProfileNode): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name} ${url.startsWith('node:') ? url : basename(url)}`;
}

function kindOf({ callFrame: { url } }: ProfileNode): Kind {
  if (url === '') return 'engine';
  if (url.startsWith('node:')) return 'node';
  return url.includes('/node_modules/') ? 'package' : 'project';
}

interface Place {
  readonly left: number;
  readonly depth: number;
  readonly unitUs: number;
}

interface Box {
  readonly row: number;
  readonly svg: string;
}

function* boxesOf(frame: Frame, { left, depth, unitUs }: Place): Iterable<Box> {
  const width = frame.totalUs / unitUs;
  if (width < WIDTH_MIN) return;
  yield { row: depth, svg: boxOf(frame, { left, depth, unitUs }) };
  let at = left;
  for (const callee of [...frame.callees.values()].toSorted((a, b) => b.totalUs - a.totalUs)) {
    yield* boxesOf(callee, { left: at, depth: depth + 1, unitUs });
    at += callee.totalUs / unitUs;
  }
}

function boxOf({ name, kind, totalUs }: Frame, { left, depth, unitUs }: Place): string {
  const width = totalUs / unitUs;
  const y = TOP + depth * ROW_HEIGHT;
  const label = name.slice(0, Math.max(0, Math.floor((width - 4) / CHARACTER_WIDTH)));
  const share = ((100 * width) / WIDTH).toFixed(1);
  return [
    `<g><title>${escaped(name)}: ${share} %</title>`,
    `<rect x="${left.toFixed(1)}" y="${y}" width="${(width - 0.3).toFixed(1)}"`,
    ` height="${ROW_HEIGHT - 1}" fill="${COLOURS[kind]}"/>`,
    label === '' ? '' : `<text x="${(left + 2).toFixed(1)}" y="${y + 11}">${escaped(label)}</text>`,
    '</g>',
  ].join('');
}
