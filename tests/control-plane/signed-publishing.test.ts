/** What a control plane with a signing key writes to the bus, and makes of others' words there. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { openCore } from '@dbbouncer/control-plane/core.ts';
import { decodeDelta, encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { decodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { fromSnapshotBytes } from '@dbbouncer/shared/contract/snapshot-bytes.ts';
import type { ConfigSigner, SignedKind } from '@dbbouncer/shared/contract/signed-message.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { configSigner, signingKeyOf } from '@dbbouncer/shared/secrets/config-signature.ts';
import { registerAll, temporaryDirectory, until } from './core-harness.ts';
import { messagesOn, published } from './published.ts';

const signerOf = (byte: number) => {
  const key = signingKeyOf(Buffer.alloc(32, byte));
  return configSigner(() => key);
};
const own = signerOf(1);
const foreign = signerOf(2);

function bench(t: TestContext) {
  const dataDir = temporaryDirectory(t);
  const bus = createMemoryBus();
  t.after(() => bus.close());
  const start = () => {
    const core = openCore({ dataDir, bus, signer: own, clock: systemClock, log: silentLogger });
    t.after(() => core.close());
    return core;
  };
  return { bus, start };
}

async function contentOf(kind: SignedKind, message: Uint8Array, signer: ConfigSigner = own) {
  const opened = await signer.open(kind, message);
  assert.equal(opened.outcome, 'genuine');
  return Buffer.from(opened.payload);
}

describe('a control plane with a signing key', () => {
  it('signs each delta and the snapshot', async (t) => {
    const { bus, start } = bench(t);
    const core = start();
    await registerAll(core, 'a', 'b');
    await published(core);
    const messages = await messagesOn(bus, CONFIG_LOG);
    const texts = await Promise.all(messages.map((one) => contentOf('delta', one)));
    assert.equal(texts.map((text) => decodeDelta(String(text)).to).at(-1), 2);
    await until('the snapshot is there', () => core.status().snapshotPosition === 2);
    const object = await bus.objects(SUBJECTS.snapshotBucket).get(SUBJECTS.snapshotObject);
    const text = await fromSnapshotBytes(await contentOf('snapshot', object ?? new Uint8Array()));
    assert.equal(decodeSnapshot(String(text)).config.tenants.size, 2);
  });

  it('goes on over deltas and snapshots of another key, and over what is not signed', async (t) => {
    const { bus, start } = bench(t);
    const first = start();
    await registerAll(first, 'a');
    await published(first);
    await first.close();
    const delta = Buffer.from(encodeDelta({ epoch: 9, from: 1, to: 900, changes: [] }));
    const planted = [await foreign.sign('delta', delta), delta];
    for (const [index, message] of planted.entries()) {
      await bus.log(CONFIG_LOG).append(`planted-${index}`, message);
      const objects = bus.objects(SUBJECTS.snapshotBucket);
      await objects.put(SUBJECTS.snapshotObject, await foreign.sign('snapshot', delta));
      const core = start();
      await registerAll(core, `tenant-${index}`);
      await published(core);
      const last = (await messagesOn(bus, CONFIG_LOG)).at(-1) ?? new Uint8Array();
      assert.equal(decodeDelta(String(await contentOf('delta', last))).to, core.status().position);
      await until('the snapshot is ours', () => core.status().snapshotPosition !== undefined);
      const object = await objects.get(SUBJECTS.snapshotObject);
      await contentOf('snapshot', object ?? new Uint8Array());
      await core.close();
    }
  });
});
