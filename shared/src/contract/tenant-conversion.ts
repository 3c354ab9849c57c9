/**
 * Between a tenant as people write it (tenant-resource.ts) and as the planes hold it
 * (routing-config.ts). Pure: how a secret is made of a written password is passed in.
 */
import type { TenantId } from '../kernel/ids.ts';
import { toOwnPoolAnswer, toPoolChanges, toPoolOverrides } from './pool-settings.ts';
import type { PoolChangeSet } from './pool-settings.ts';
import type { Protocol, TenantConfig } from './routing-config.ts';
import type { Secret } from './secret.ts';
import { toPartChanges, toParts, toPartsAnswer } from './tenant-parts.ts';
import type { DescribeSecret, MakeSecret, PartChangeSet, TenantParts } from './tenant-parts.ts';
import type { TenantFields, TenantInFile, TenantPatch, TenantReplace } from './tenant-resource.ts';

export const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = Object.freeze({
  postgres: 5432,
  mysql: 3306,
});

/** @throws what `makeSecret` throws. */
export function newTenantConfig(
  id: TenantId,
  input: TenantInFile,
  makeSecret: MakeSecret,
): TenantConfig {
  return Object.freeze({
    ...fieldsOf(input),
    ...toParts(input, undefined, makeSecret),
    id,
    password: makeSecret(input.password, undefined),
  });
}

/**
 * All of a tenant's settings but a password that was not given: that one stays as it is. What was
 * operated on the tenant is no setting.
 */
export type TenantReplacement = Omit<TenantConfig, 'password' | 'operations' | 'canary'> & {
  readonly password?: Secret | undefined;
};

/**
 * What PUT, or an edited entry of the file, makes of the tenant. @throws what `makeSecret` throws.
 */
export function replaceTenantConfig(
  current: TenantConfig,
  input: TenantReplace,
  makeSecret: MakeSecret,
): TenantReplacement {
  return Object.freeze({
    ...fieldsOf(input),
    ...toParts(input, current, makeSecret),
    id: current.id,
    password: nextSecret(current, input.password, makeSecret),
  });
}

type OwnField = Exclude<
  keyof TenantConfig,
  'id' | 'pool' | 'operations' | 'canary' | keyof TenantParts
>;

/**
 * Only what is to change; a pool setting of null goes back to the default, a part of null is taken
 * away.
 */
export type TenantChangeSet = {
  readonly [Name in OwnField]?: TenantConfig[Name] | undefined;
} & PartChangeSet & { readonly pool: PoolChangeSet };

/** What PATCH changes; fields it does not name are not in it. @throws what `makeSecret` throws. */
export function toTenantChanges(
  current: TenantConfig,
  patch: TenantPatch,
  makeSecret: MakeSecret,
): TenantChangeSet {
  return Object.freeze({
    protocol: patch.db_type,
    host: patch.host,
    port: patch.port === null ? DEFAULT_PORTS[patch.db_type ?? current.protocol] : patch.port,
    database: patch.dbname,
    databases: patch.databases === null ? [] : patch.databases,
    username: patch.username,
    password: nextSecret(current, patch.password, makeSecret),
    ...toPartChanges(patch, current, makeSecret),
    pool: toPoolChanges(patch),
  });
}

/** @param describeSecret says where the password is without saying it. */
export function toTenantFields(config: TenantConfig, describeSecret: DescribeSecret): TenantFields {
  return {
    id: config.id,
    db_type: config.protocol,
    host: config.host,
    port: config.port,
    dbname: config.database,
    databases: [...config.databases],
    username: config.username,
    password_source: describeSecret(config.password),
    ...toOwnPoolAnswer(config.pool),
    ...toPartsAnswer(config, describeSecret),
  };
}

type RequiredField = Exclude<OwnField | 'pool', 'password'>;

function fieldsOf(input: TenantReplace): Pick<TenantConfig, RequiredField> {
  return {
    protocol: input.db_type,
    host: input.host,
    port: input.port ?? DEFAULT_PORTS[input.db_type],
    database: input.dbname,
    databases: input.databases ?? [],
    username: input.username,
    pool: toPoolOverrides(input),
  };
}

function nextSecret(
  current: TenantConfig,
  written: string | undefined,
  makeSecret: MakeSecret,
): Secret | undefined {
  return written === undefined ? undefined : makeSecret(written, current.password);
}
