/**
 * The built-in types by the names they have in pg_type; converting to them calls nothing of a
 * user's. Types spelled with keywords (`integer`, `character varying`) are known by those.
 * tests/sql compares with a real server.
 */
import type { QualifiedName } from './names.ts';

/** What initdb has made has smaller ones. */
export const FIRST_USER_OID = 16_384;

const BUILT_IN_TYPES: ReadonlySet<string> = new Set(
  `aclitem bit bool box bpchar bytea char cid cidr circle date datemultirange daterange float4
  float8 inet int2 int2vector int4 int4multirange int4range int8 int8multirange int8range interval
  json jsonb jsonpath line lseg macaddr macaddr8 money name numeric nummultirange numrange oid
  oidvector path pg_lsn pg_snapshot point polygon record refcursor regclass regcollation regconfig
  regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype text tid time
  timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector
  txid_snapshot unknown uuid varbit varchar void xid xid8 xml`.split(/\s+/),
);

export const BUILT_IN_TYPE_NAMES: Iterable<string> = BUILT_IN_TYPES;

export function isBuiltInType(name: QualifiedName): boolean {
  const inCatalog = name.length === 1 || (name.length === 2 && name[0] === 'pg_catalog');
  return inCatalog && BUILT_IN_TYPES.has(name.at(-1) as string);
}
