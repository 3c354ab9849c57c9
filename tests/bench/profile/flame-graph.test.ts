/** A small profile, drawn. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { flameGraph, selfTimes, within } from './flame-graph.ts';
import type { CpuProfile } from './flame-graph.ts';

const at = (functionName: string, url = '') => ({ functionName, url });
const PROFILE: CpuProfile = {
  nodes: [
    { id: 1, callFrame: at('(root)'), children: [2, 3, 6] },
    { id: 2, callFrame: at('(idle)') },
    { id: 3, callFrame: at('onread', 'node:net'), children: [4, 5] },
    { id: 4, callFrame: at('relay<T>', 'file:///x/data-plane/src/relay.ts') },
    { id: 5, callFrame: at('writev') },
    // The same function again, as the engine writes it after it has compiled it anew.
    { id: 6, callFrame: at('onread', 'node:net'), children: [7] },
    { id: 7, callFrame: at('writev') },
  ],
  startTime: 5_000,
  samples: [2, 3, 4, 5, 7],
  timeDeltas: [900, 10, 30, 40, 20],
};

describe('a flame graph', () => {
  const svg = flameGraph(PROFILE, 'a & b');

  it('gives each function its share of the busy time, calls from one place in one', () => {
    const titles = [...svg.matchAll(/<title>(.*?)<\/title>/g)].map(([, title]) => title);
    assert.deepEqual(titles, [
      'all: 100.0 %',
      'onread node:net: 100.0 %',
      'writev: 60.0 %',
      'relay&lt;T&gt; relay.ts: 30.0 %',
    ]);
  });

  it('is an SVG with its title', () => {
    assert.match(svg, /^<svg [^>]+>[^]+a &amp; b[^]+<\/svg>\n$/);
  });

  it('writes names as far as their frames are wide, and none where no letter fits', () => {
    const narrow: CpuProfile = { ...PROFILE, timeDeltas: [0, 0, 2, 998, 0] };
    const labels = [...flameGraph(narrow, '').matchAll(/y="\d+">([^<]*)<\/text><\/g>/g)];
    assert.deepEqual(
      labels.map(([, label]) => label),
      ['all', 'onread node:net', 'writev'],
    );
  });

  it('leaves out what was sampled before and after', () => {
    // Samples were taken at 5,900, 5,910, 5,940, 5,980 and 6,000.
    const { samples, timeDeltas } = within(PROFILE, 5_910, 5_980);
    assert.deepEqual(
      [samples, timeDeltas],
      [
        [3, 4, 5],
        [10, 30, 40],
      ],
    );
  });

  it('has the times that functions took themselves, the largest first', () => {
    assert.deepEqual(selfTimes(PROFILE), [
      ['writev', 0.6],
      ['relay<T> relay.ts', 0.3],
      ['onread node:net', 0.1],
    ]);
  });
});
