/** Two proxies on one port, in short; `npm run drill:reuse-port` counts what a stop costs. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { countOutcomes } from '../../e2e/openers.ts';
import { reusePort } from './reuse-port.ts';

it('two proxies share a port; one serves while the other restarts', async (test) => {
  const { opened } = await reusePort(1, 16);
  const { answered = 0, reset = 0, refused = 0 } = countOutcomes(opened);
  assert.equal(refused, 0, 'somebody listened all the time');
  // Those in the queue of the socket that was closed, 16 at most: what the drill measures.
  assert.ok(reset <= 16, `${reset} were reset`);
  assert.ok(answered >= 400, `${answered} were answered`);
  test.diagnostic(`${reset} of ${opened.length} were reset`);
});
