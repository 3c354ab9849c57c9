/**
 * A proxy on a bus where others can write: what bears no signature of the control plane is refused
 * with a reason, the last good config stays, and what is genuine is served on.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ConfigFeed } from '@dbbouncer/data-plane/config-feed/feed.ts';
import { Router } from '@dbbouncer/data-plane/routing/router.ts';
import { someConfig, someTenant } from '@dbbouncer/data-plane/routing/testing.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { encodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { UNSIGNED } from '@dbbouncer/shared/contract/signed-message.ts';
import type { ConfigSigner } from '@dbbouncer/shared/contract/signed-message.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { openConfigSigner, openConfigVerifier } from '@dbbouncer/shared/secrets/config-keys.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { at, isFollowing, set, status } from './config-feed-support.ts';

/** Waits are real but short. */
const clock: Clock = {
  ...systemClock,
  after: (delayMs, fire) => systemClock.after(delayMs / 20, fire),
};

function keyring(masterKey: string): Keyring {
  const source = openKeySource({ masterKey, dataDir: '/nowhere', whenAbsent: 'wait' });
  return new Keyring(source, () => undefined);
}

const MASTER_KEY = 'a master key for tests only';
const derived = { configSigningKeyFile: undefined };
const genuine = openConfigSigner(derived, keyring(MASTER_KEY), 'shared');
const foreign = openConfigSigner(derived, keyring('a master key of another fleet'), 'shared');

let bus: Bus;
let router: Router;
let feed: ConfigFeed;
let appends = 0;

async function appendBytes(data: Uint8Array): Promise<void> {
  await bus.log(CONFIG_LOG).append(`id-${(appends += 1)}`, data);
}

function deltaText(to: number, id: string, epoch = 1): Buffer {
  return Buffer.from(encodeDelta({ epoch, from: to - 1, to, changes: [...set(id)] }));
}

async function append(to: number, id: string, signer: ConfigSigner = genuine): Promise<void> {
  await appendBytes(await signer.sign('delta', deltaText(to, id)));
}

/** As the control plane does it, at the end of the log. */
async function putSnapshot(position: number, ids: readonly string[], signer = genuine) {
  const { createdAt, lastSequence } = await bus.log(CONFIG_LOG).state();
  const config = someConfig(
    ids.map((id) => someTenant(id)),
    { position },
  );
  const place = { logCreatedAt: createdAt, logSequence: lastSequence };
  const text = Buffer.from(encodeSnapshot({ ...place, config }));
  const message = await signer.sign('snapshot', text);
  await bus.objects(SUBJECTS.snapshotBucket).put(SUBJECTS.snapshotObject, message);
}

function startFeed(configSignature: 'require' | 'accept_unsigned' = 'require'): void {
  const settings = { configPublicKeysFile: undefined, configSignature };
  const verifier = openConfigVerifier(settings, keyring(MASTER_KEY), systemClock, 'shared');
  feed = new ConfigFeed({ bus, router, verifier, clock, log: silentLogger });
  feed.start();
}

const served = () => [...router.current.config.tenants].map(([key]) => key).toSorted();

beforeEach(() => {
  bus = createMemoryBus();
  router = new Router(silentLogger);
});
afterEach(async () => {
  await feed.stop();
  await bus.close();
});

describe('a proxy that follows signed config', () => {
  beforeEach(async () => {
    await putSnapshot(5, ['acme']);
    startFeed();
    await status(feed, at(5));
    await append(6, 'globex');
    await status(feed, at(6));
  });

  /** Plants it; gives the reason that the proxy reports, and has it serve on. */
  async function planted(data: Uint8Array): Promise<string | undefined> {
    await appendBytes(data);
    const { rejected } = await status(feed, (now) => now.rejected !== undefined);
    assert.deepEqual(served(), ['acme', 'globex']);
    assert.equal(feed.status.appliedPosition, 6);
    assert.equal(rejected?.position, 7);
    await putSnapshot(7, ['acme', 'globex', 'initech']);
    const { rejected: settled } = await status(feed, at(7));
    assert.equal(settled, undefined);
    await append(8, 'umbrella');
    await status(feed, at(8));
    assert.deepEqual(served(), ['acme', 'globex', 'initech', 'umbrella']);
    return rejected?.reason;
  }

  it('refuses a delta with one flipped byte, then serves a snapshot and what follows', async () => {
    const message = await genuine.sign('delta', deltaText(7, 'evil'));
    const at = Buffer.from(message).indexOf('db.internal');
    message[at] = (message[at] ?? 0) ^ 1;
    assert.match(String(await planted(message)), /bears a signature of key .* not for its content/);
  });

  it('refuses a delta of another key', async () => {
    const message = await foreign.sign('delta', deltaText(7, 'evil'));
    const reason = await planted(message);
    assert.match(
      String(reason),
      /is signed with key \w{16}, which is not known here: the master key/,
    );
  });

  it('refuses a delta that is not signed', async () => {
    const reason = await planted(deltaText(7, 'evil'));
    assert.match(String(reason), /^delta is not signed, and config_signature is require$/);
  });

  it('refuses the signed text of something else as a delta', async () => {
    const message = await genuine.sign('snapshot', deltaText(7, 'evil'));
    assert.match(String(await planted(message)), /not for its content/);
  });

  it('is not moved by an older delta that is written once more', async () => {
    await append(6, 'globex');
    await append(7, 'initech');
    await status(feed, at(7));
    assert.deepEqual(served(), ['acme', 'globex', 'initech']);
    assert.equal(feed.status.rejectedTotal, 0);
  });

  it('reports and passes over a delta of a former term', async () => {
    await appendBytes(await genuine.sign('delta', deltaText(7, 'evil', 0)));
    const { rejected } = await status(feed, (now) => now.rejected !== undefined);
    assert.match(String(rejected?.reason), /written in term 0, which term 1 has ended/);
    await append(7, 'initech');
    await status(feed, at(7));
  });
});

describe('a proxy that starts', () => {
  it('takes no snapshot that is not signed or of another key, and says why', async () => {
    await putSnapshot(5, ['evil'], UNSIGNED);
    startFeed();
    const unsigned = await status(feed, (now) => now.rejected !== undefined);
    assert.match(String(unsigned.rejected?.reason), /^snapshot is not signed/);
    await putSnapshot(5, ['evil'], foreign);
    const other = await status(feed, (now) => now.rejectedTotal > 1);
    assert.match(String(other.rejected?.reason), /^snapshot is signed with key/);
    assert.equal(feed.status.phase, 'booting');
    await putSnapshot(6, ['acme']);
    await status(feed, at(6));
    assert.deepEqual(served(), ['acme']);
  });

  it('takes unsigned config where that is accepted, as of a former control plane', async () => {
    await putSnapshot(5, ['acme'], UNSIGNED);
    startFeed('accept_unsigned');
    await status(feed, at(5));
    await append(6, 'globex', UNSIGNED);
    await append(7, 'initech');
    await status(feed, at(7));
    await append(8, 'evil', foreign);
    const { rejected } = await status(feed, (now) => now.rejected !== undefined);
    assert.match(String(rejected?.reason), /is not known here/);
    await status(feed, isFollowing);
    assert.deepEqual(served(), ['acme', 'globex', 'initech']);
  });
});
