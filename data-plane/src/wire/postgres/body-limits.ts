/**
 * How large the body of each type of message may be that one kind of peer sends, as a table.
 * Owns: making such a table once for all scanners with the same limits: there is one for each
 * client.
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';

export interface BodyLimits {
  /** The 256 flags of the type bytes this peer may send. */
  readonly allowed: Uint8Array;
  /** The largest body of any frame. Default is what `bodyBytesMax` says. */
  readonly frameBytesMax?: number;
  /** The largest body of a type; asked once each. Default: `frameBytesMax`. */
  readonly bodyBytesMax?: (type: number) => number;
}

/** The length field is signed, and counts itself. */
const BODY_BYTES_MAX = 0x7fffffff - 4;

interface Known extends BodyLimits {
  readonly table: Int32Array;
}

/** By flags: a few constants of the protocol. */
const known = new WeakMap<Uint8Array, Known[]>();
const KNOWN_MAX = 16;

/** Largest body by type byte, -1 where the type is not allowed. Shared: not to be written to. */
export function bodyBytesMaxByType(limits: BodyLimits): Int32Array {
  const { allowed, frameBytesMax, bodyBytesMax } = limits;
  const tables = known.get(allowed) ?? [];
  const same = tables.find(
    (each) => each.frameBytesMax === frameBytesMax && each.bodyBytesMax === bodyBytesMax,
  );
  if (same !== undefined) return same.table;
  const table = makeTable(limits);
  if (tables.length < KNOWN_MAX) known.set(allowed, [...tables, { ...limits, table }]);
  return table;
}

function makeTable({ allowed, frameBytesMax, bodyBytesMax }: BodyLimits): Int32Array {
  assert(allowed.length === 256, `one flag for each type byte: 256, not ${allowed.length}`);
  assert(
    frameBytesMax !== undefined || bodyBytesMax !== undefined,
    'a scanner needs frameBytesMax or bodyBytesMax',
  );
  return Int32Array.from(allowed, (flag, type) =>
    flag === 0
      ? -1
      : Math.min(frameBytesMax ?? BODY_BYTES_MAX, bodyBytesMax?.(type) ?? BODY_BYTES_MAX),
  );
}
