/**
 * From a client's first byte to its session: startup, tenant, authentication, greeting.
 * Owns: the order of the steps and what a failed login reads. Leaves: each step to its own file.
 * Source: PostgreSQL manual, "Start-up" in Message Flow.
 */
import type { Socket } from 'node:net';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { AccessRequest } from '../../access/access-rules.ts';
import type { ClientAddress } from '../../access/client-address.ts';
import { describeClient } from '../../access/client-address.ts';
import { proxyErrors } from '../../errors.ts';
import { resolveTenant } from '../../routing/resolve-tenant.ts';
import type { Resolution } from '../../routing/resolve-tenant.ts';
import type { ClientTlsPort } from '../../tls/client-tls.ts';
import { HandshakeFailed } from '../../tls/handshake-failed.ts';
import { WireError } from '../../wire/wire-error.ts';
import { encodePostgresError } from '../client-error.ts';
import type { Admission } from '../client-limits.ts';
import type { Session, SessionState } from '../session.ts';
import { admit } from './admit.ts';
import type { Account } from './auth/account.ts';
import { requireServed, tenantRemoved, whyServedLate } from '../tenant-changes.ts';
import { authenticate } from './authenticate.ts';
import type { Claimant } from './authenticate.ts';
import { requestCancel } from './cancel.ts';
import { greet } from './greeting.ts';
import type { ResolvedTenant } from './greeting.ts';
import { ClientGone, LoginReader } from './login-reader.ts';
import type { LoggedIn, SessionServices } from './services.ts';
import { readStartup } from './startup.ts';
import type { Asked } from './startup.ts';
import { asSessionError, userRemoved } from './session-errors.ts';
import { throttled } from './throttled.ts';
import { PostgresSession } from './transaction.ts';
import { certificateVerdict, transportRefusal } from './transport.ts';
import type { TransportRefusal } from './transport.ts';

/**
 * Takes a freshly accepted socket; never throws, and never lets go of it without closing or a
 * session.
 */
export function servePostgresClient(
  socket: Socket,
  address: ClientAddress,
  services: SessionServices,
): void {
  new ClientLogin(socket, address, services).run();
}

/** Tells a client why it is not served, before it has said anything, and closes its socket. */
export function refusePostgresClient(
  socket: Socket,
  address: ClientAddress,
  services: SessionServices,
  error: AppError,
): void {
  services.meter.authFailed('proxy_header');
  const client = describeClient(address);
  services.log.warn({ client, reason: error.message }, 'connection refused');
  new ClientLogin(socket, address, services).kill(error);
}

interface Admitted {
  readonly tenantKey: string;
  readonly access: AccessRequest;
  readonly admission: Admission;
}

class ClientLogin implements Session {
  readonly timed = undefined;
  readonly client = undefined;
  readonly #address: ClientAddress;
  readonly #services: SessionServices;
  readonly #reader: LoginReader;
  #state: SessionState = 'login';
  /** Set once it is authenticated: what ends sessions of its tenant ends it while it is greeted. */
  #admitted: Admitted | undefined;

  constructor(socket: Socket, address: ClientAddress, services: SessionServices) {
    this.#address = address;
    this.#services = services;
    this.#reader = new LoginReader(socket, () => this.#admitted?.admission.release());
  }

  get state(): SessionState {
    return this.#state;
  }

  get tenantKey(): string | undefined {
    return this.#admitted?.tenantKey;
  }

  get access(): AccessRequest | undefined {
    return this.#admitted?.access;
  }

  run(): void {
    const { registry, clientLimits, clock, settings } = this.#services;
    const refusal = clientLimits.refusalBeyond(registry.size);
    registry.add(this);
    const deadline = clock.after(settings.clientLoginTimeoutMs, () => this.#timedOut());
    void this.#serve(refusal, deadline);
  }

  async #serve(tooMany: (() => AppError) | undefined, deadline: Timer): Promise<void> {
    try {
      const asked = await readStartup(this.#reader, tlsFor(this.#address, this.#services));
      if (asked.kind === 'session') this.#handOver(await this.#logIn(asked, tooMany));
      else {
        await requestCancel(asked.key, this.#address, this.#services);
        this.#end();
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      deadline.cancel();
      this.#services.registry.delete(this);
    }
  }

  async #logIn(asked: Asked, tooMany: (() => AppError) | undefined): Promise<LoggedIn> {
    // Only now: a client that has not sent its startup message cannot read an error.
    if (tooMany !== undefined) throw tooMany();
    const { transport } = this.#services.settings;
    this.#refuseIf(transportRefusal(this.#reader.channel, this.#address, transport));
    if (!this.#services.hasConfig()) await this.#configured();
    const resolution = this.#resolve(asked);
    const tenant = resolution.kind === 'tenant' ? resolution.tenant.id : (resolution.claimed ?? '');
    const attempt = { address: this.#address, tenant };
    const { resolved, account, access } = await throttled(attempt, this.#services, () =>
      this.#admit(resolution, asked.login.user),
    );
    requireServed(this.#services.router, resolved.tenant);
    const admission = this.#takePlace(resolved, account);
    this.#admitted = { tenantKey: tenantKey(resolved.tenant.id), access, admission };
    this.#services.registry.placed(this);
    const proven = { account: this.#asItIsNow(account), access, admission };
    return await greet(this.#reader, this.#services, asked, resolved, proven);
  }

  /** Who it is, and that it may come from where it comes. */
  async #admit(resolution: Claimant, presentedUser: string) {
    const account = await this.#prove(resolution, presentedUser);
    assert(resolution.kind === 'tenant', 'nobody can prove to be a user of no tenant');
    const access = admit(this.#reader.socket, this.#address, this.#services, resolution);
    return { resolved: resolution, account, access };
  }

  /** From here on the client counts for its tenant and user. @throws AppError CLIENT_LIMIT */
  #takePlace({ tenant, pool }: ResolvedTenant, account: Account): Admission {
    return this.#services.clientLimits.admit({
      tenant: tenant.id,
      user: account.name,
      tenantMax: pool.maxClientConnections,
      userMax: account.maxClientConnections,
    });
  }

  /** By its certificate where that suffices, else by its password. */
  #prove(claimant: Claimant, presentedUser: string): Account | Promise<Account> {
    const { accounts, settings } = this.#services;
    const { channel } = this.#reader;
    const verdict = certificateVerdict(channel, settings.transport, claimant, presentedUser);
    if (typeof verdict === 'object') this.#refuseIf(verdict);
    const isProven = verdict === 'proven' && claimant.kind === 'tenant';
    const account = isProven ? accounts.find(claimant.tenant, claimant.user) : undefined;
    return account ?? authenticate(this.#reader, this.#services, claimant, presentedUser);
  }

  /** Under the config of now: a proof takes time, and who has given it may have been removed. */
  #asItIsNow(account: Account): Account {
    const { id } = account.tenant;
    const tenant = this.#services.router.current.byKey(tenantKey(id));
    if (tenant === undefined) throw tenantRemoved(id);
    const current = tenant === account.tenant ? account : account.member().accountIn(tenant);
    if (current === undefined) throw userRemoved(id, account.name);
    return current;
  }

  #refuseIf(refusal: TransportRefusal | undefined): void {
    if (refusal === undefined) return;
    const { error, failure } = refusal;
    this.#services.meter.authFailed(failure);
    const client = describeClient(this.#address);
    this.#services.log.warn({ reason: failure, detail: error.detail, client }, 'login refused');
    throw error;
  }

  /** Shortly after its start a proxy may have to wait for its config; so do its first clients. */
  async #configured(): Promise<void> {
    const { whenConfigured, clock } = this.#services;
    await new Promise<void>((resolve) => {
      const timer = clock.after(CONFIG_WAIT_MS, resolve);
      void whenConfigured.finally(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #timedOut(): void {
    const { meter, router, settings } = this.#services;
    meter.authFailed('timeout');
    const paused = whyServedLate(router, this.tenantKey);
    this.kill(
      proxyErrors.fail(
        'LOGIN_TIMEOUT',
        `the login took longer than client_login_timeout (${settings.clientLoginTimeoutMs} ms)`,
        paused === undefined ? {} : { detail: paused },
      ),
    );
  }

  #handOver(loggedIn: LoggedIn): void {
    if (this.#state === 'closed' || this.#reader.gone) throw new ClientGone('the client has left');
    this.#state = 'closed';
    const { registry, timeLimits, cancels } = this.#services;
    const { socket, rest } = this.#reader;
    const session = new PostgresSession(socket, this.#services, loggedIn);
    registry.add(session);
    timeLimits.expect(loggedIn.tenantKey);
    cancels.register(loggedIn.cancelName, session);
    socket.resume();
    // What the client had sent behind its login.
    if (rest.length > 0) session.received(rest);
  }

  #resolve(asked: Asked): Exclude<Resolution, { kind: 'conflict' }> {
    const { router, settings, log } = this.#services;
    const snapshot = router.current;
    if (!this.#services.hasConfig()) {
      throw proxyErrors.fail('NO_CONFIG', 'the proxy has not received its configuration yet', {
        hint: 'Try again in a moment; if it stays so, the control plane cannot be reached.',
      });
    }
    const resolution = resolveTenant(asked.login, snapshot, settings.selectors);
    if (resolution.kind === 'conflict') {
      this.#services.meter.authFailed('selector_conflict');
      const named = resolution.selectors.map(({ source, value }) => `${source} says "${value}"`);
      throw proxyErrors.fail(
        'SELECTOR_CONFLICT',
        `the login names different tenants: ${named.join(', ')}`,
        { hint: 'Give one tenant selector, or the same tenant in each.' },
      );
    }
    if (resolution.kind === 'unknown') {
      this.#services.meter.authFailed(resolution.reason);
      const { reason, claimed, user } = resolution;
      log.warn({ reason, claimed, user, client: describeClient(this.#address) }, 'login refused');
      if (settings.unknownTenant === 'disclosed') throw disclosed(resolution);
    }
    return resolution;
  }

  #failed(error: unknown): void {
    this.#admitted?.admission.release();
    if (error instanceof HandshakeFailed) this.#handshakeFailed(error);
    if (this.#state === 'closed' || error instanceof ClientGone) return this.#end();
    if (error instanceof WireError) this.#services.meter.authFailed('malformed');
    this.kill(asSessionError(error, this.#services.log));
  }

  /** Whoever does not speak TLS with us cannot be told why. */
  #handshakeFailed({ reason, message }: HandshakeFailed): void {
    this.#state = 'closed';
    this.#services.meter.tlsFailed(reason);
    this.#services.log.debug({ reason, message }, 'TLS handshake failed');
  }

  endWhenIdle(error: AppError): void {
    this.kill(error);
  }

  /** A login ends at once or goes on. */
  stay(): void {}

  /** What became of the tenant meanwhile is looked at once the login is done. */
  hindranceUnder(): undefined {
    return undefined;
  }

  kill(error: AppError): void {
    if (this.#state === 'closed') return;
    // Bytes of ours in the middle of a handshake would say nothing.
    if (this.#reader.transport === 'handshake') return this.#abandonHandshake();
    this.#reader.say(encodePostgresError(error, 'FATAL'));
    this.#end();
  }

  #abandonHandshake(): void {
    this.#state = 'closed';
    this.#reader.abandon();
    this.#reader.socket.destroy();
  }

  #end(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#admitted?.admission.release();
    this.#reader.abandon();
    const { socket } = this.#reader;
    // What still arrives is read and thrown away: unread bytes would turn our close into a reset.
    socket.resume();
    socket.end();
    socket.setTimeout(CLOSE_TIMEOUT_MS, () => socket.destroy());
  }
}

/**
 * TLS, with every client that speaks it counted for as long as it is there. Bytes in a socket file
 * leave no machine: they are not encrypted, as with PostgreSQL.
 */
function tlsFor(
  address: ClientAddress,
  { tls, meter }: SessionServices,
): ClientTlsPort | undefined {
  if (tls === undefined || address.kind === 'unix') return undefined;
  const accept = async (socket: Socket) => {
    const channel = await tls.accept(socket);
    meter.tlsBegan();
    channel.socket.once('close', () => meter.tlsEnded());
    return channel;
  };
  return { accept };
}

/** As long as a proxy takes to find its copy on disk, and some more. */
const CONFIG_WAIT_MS = 4_000;
/** How long a client that was refused may keep its socket open. */
const CLOSE_TIMEOUT_MS = 5_000;

function disclosed(resolution: Extract<Resolution, { kind: 'unknown' }>): AppError {
  const { reason, claimed } = resolution;
  const text =
    reason === 'no_selector'
      ? 'the login names no tenant'
      : reason === 'selector_conflict'
        ? `the user name and the other selectors name different tenants ("${claimed}")`
        : `there is no tenant "${claimed}"`;
  return proxyErrors.fail('AUTH_FAILED', text, {
    hint: "Name it by options='-c tenant_id=…', the user name tenant__user, or the database.",
  });
}
