/**
 * A snapshot as the bus holds it: its text, and a large one's compressed to a quarter. Neither
 * holds up the process.
 * Source: RFC 1952, §2.3.1 (the first bytes of gzip, with which no JSON text begins; the last four
 * are the length of the text).
 */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';

/** What is smaller can be read by people. */
const COMPRESSED_BYTES_MIN = 1024 * 1024;
/** Most of what can be won, in a third of the time of the usual level. */
const LEVEL = 1;
/** Of a text: four times what a bus carries. */
export const SNAPSHOT_TEXT_BYTES_MAX = 256 * 1024 * 1024;
const GZIP = [0x1f, 0x8b] as const;

export async function toSnapshotBytes(text: Buffer): Promise<Uint8Array> {
  if (text.byteLength < COMPRESSED_BYTES_MIN) return text;
  return await promisify(gzip)(text, { level: LEVEL });
}

/**
 * The text of these bytes.
 * @param textBytesMax a text that is longer is not made
 * @throws RangeError above `textBytesMax`; the error of zlib for what is broken
 */
export async function fromSnapshotBytes(
  data: Uint8Array,
  textBytesMax = SNAPSHOT_TEXT_BYTES_MAX,
): Promise<Buffer> {
  const isCompressed = data[0] === GZIP[0] && data[1] === GZIP[1];
  if (isCompressed) {
    const chunkSize = Math.max(CHUNK_BYTES_MIN, Math.min(claimedBytes(data), textBytesMax) + 1);
    return await promisify(gunzip)(data, { maxOutputLength: textBytesMax, chunkSize });
  }
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** Of zlib. */
const CHUNK_BYTES_MIN = 64;

/** The length the text is said to have: all of it then comes in one piece of memory. */
function claimedBytes(data: Uint8Array): number {
  const { buffer, byteOffset, byteLength } = data;
  return new DataView(buffer, byteOffset).getUint32(byteLength - 4, true);
}
