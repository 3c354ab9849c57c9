/**
 * npm run drill:reuse-port: how many clients a proxy resets that shares its port by SO_REUSEPORT
 * and is stopped. Owns: the command line and the words.
 */
import { parseArgs } from 'node:util';
import { countOutcomes } from '../../e2e/openers.ts';
import { reusePort } from './reuse-port.ts';

const { values: flags } = parseArgs({
  options: {
    stops: { type: 'string', default: '20' },
    clients: { type: 'string', default: '64' },
  },
});

const stops = Number(flags.stops);
const { opened, perSecond } = await reusePort(stops, Number(flags.clients));
const outcomes = countOutcomes(opened);
process.stdout.write(
  `${stops} stops under ${Math.round(perSecond)} connections a second: ${opened.length} opened,` +
    ` ${JSON.stringify(outcomes)}, ${((outcomes.reset ?? 0) / stops).toFixed(2)} reset a stop\n`,
);
