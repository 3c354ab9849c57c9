/** What is done with the log of a data folder by the commands for it. */
import { dbbouncer } from '../../support/processes.ts';
import type { Ended, Program } from '../../support/processes.ts';
import { timed } from '../figures.ts';
import { logOfSize } from '../made-log.ts';
import { residentMemory } from '../process-memory.ts';
import type { Figure, Scale, ScaleRow } from '../scale-row.ts';

const GOALS = { replaySeconds: 10, replayMegabytes: 1_074 };
const LOOKS_EACH_MS = 20;

export const LOG_ROWS: readonly ScaleRow[] = [
  {
    key: 'replay',
    usesLog: 'whole',
    title: 'dbbouncer replay, from its start to the last byte of its output',
    measure: async (scale) => [
      ...(await run('JSON', ['replay', '--format', 'json'], scale)),
      ...(await run('YAML', ['replay'], scale)),
    ],
  },
  {
    key: 'verify',
    usesLog: 'whole',
    title: 'dbbouncer verify, hash chain and read models',
    measure: (scale) => run('verify', ['verify'], scale),
  },
];

async function run(
  name: string,
  command: readonly string[],
  scale: Scale,
): Promise<readonly Figure[]> {
  const folder = logOfSize(scale);
  const program = dbbouncer([...command, '--data-dir', folder]);
  const watch = watched(program);
  const { ms } = await timed(async () => requireSuccess(await program.ended()));
  const isReplay = command[0] === 'replay';
  const goal = (value: number) => (isReplay ? { goal: value } : {});
  return [
    { name: `${name}: time`, value: ms / 1_000, unit: 's', ...goal(GOALS.replaySeconds) },
    { name: `${name}: memory`, value: watch(), unit: 'MB', ...goal(GOALS.replayMegabytes) },
  ];
}

/** The most memory that was seen until it ended, in megabytes; its last moments may be missed. */
function watched(program: Program): () => number {
  let peak = NaN;
  const timer = setInterval(() => {
    const seen = residentMemory(program.pid).peak;
    if (Number.isFinite(seen)) peak = seen;
  }, LOOKS_EACH_MS);
  return () => {
    clearInterval(timer);
    return peak;
  };
}

function requireSuccess({ code, signal, stderr }: Ended): void {
  if (code !== 0) throw new Error(`it ended with ${signal ?? code}:\n${stderr}`);
}
