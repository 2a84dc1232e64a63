/**
 * The PROXY protocol, versions 1 and 2: a load balancer writes the address of its client before the first byte of the
 * client. This file reads the header; it takes no byte of the client, which can be the first of a TLS handshake. The
 * specification is `proxy-protocol.txt` of HAProxy. The parser is strict, and takes TCP alone: a header that it does not
 * know refuses the connection, since the bytes after it could be read as part of it.
 *
 * The door reads a header only from the addresses in `--proxy-from`, and from them nothing else.
 */

import type { Wire } from "../../../net/wire.ts";
import { WireAfter } from "../../../net/wire_after.ts";
import { formatIp, parseIp } from "../../../net/ip_address.ts";
import { quote } from "../../../protocol/errors.ts";

/** Longest header of version 1, in bytes, with its CR and LF. */
const MAX_V1_BYTES = 107;
const V1_START = "PROXY ";
/** The first 12 bytes of version 2. */
const V2_START = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
/** Length of the fixed part of version 2. */
const V2_FIXED_BYTES = 16;
/** Longest rest of a header of version 2: addresses, and fields such as the certificate of the client, which are skipped. */
const MAX_V2_REST_BYTES = 4096;

/** Commands of version 2. */
const LOCAL = 0;
const PROXY = 1;
/** Length of the address part of version 2, by its family and protocol. */
const V2_ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([[0x00, 0], [0x11, 12], [0x21, 36]]);

/** The bytes are not a header. The message is for the log of the server. */
export class ProxyHeaderError extends Error {
  override readonly name = "ProxyHeaderError";
}

interface ProxyHeader {
  /** The length of the header. The next byte is the first of the client. */
  readonly bytes: number;
  /** The IP address of the client; `undefined` if the balancer itself connects, as for a check, or does not know. */
  readonly source: string | undefined;
}

/** The header at the start of `bytes`; `undefined` if more bytes must come first. Throws `ProxyHeaderError`. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === V2_START[0]) return parseV2(bytes);
  return parseV1(bytes);
}

function parseV1(bytes: Uint8Array): ProxyHeader | undefined {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, MAX_V1_BYTES));
  if (!text.startsWith(V1_START) && !V1_START.startsWith(text)) {
    throw new ProxyHeaderError(`it begins with ${quote(text.slice(0, 16))}`);
  }
  const end = text.indexOf("\r\n");
  if (end === -1) {
    if (bytes.length < MAX_V1_BYTES) return undefined;
    throw new ProxyHeaderError(`version 1 has more than ${MAX_V1_BYTES} bytes`);
  }
  return { bytes: end + 2, source: sourceOfV1(text.slice(0, end)) };
}

function sourceOfV1(line: string): string | undefined {
  // Text after UNKNOWN must be ignored.
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return undefined;
  const [, family, from = "", to = "", ...ports] =
    /^PROXY (TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? [];
  const areRight =
    [from, to].every((address) =>
      address.includes(":") === (family === "TCP6") && parseIp(address) !== undefined
    ) && ports.every((port) => /^(0|[1-9]\d*)$/.test(port) && Number(port) <= 65535);
  if (!family || !areRight) throw new ProxyHeaderError(`version 1 is malformed: ${quote(line)}`);
  return formatIp(parseIp(from)!);
}

function parseV2(bytes: Uint8Array): ProxyHeader | undefined {
  const isStart = V2_START.every((byte, i) => i >= bytes.length || bytes[i] === byte);
  if (!isStart) throw new ProxyHeaderError("it begins like version 2, and goes on otherwise");
  const [command, family] = bytes.subarray(V2_START.length);
  if (command === undefined) return undefined;
  if (command >> 4 !== 2 || (command & 15) > PROXY) {
    throw new ProxyHeaderError(`version 2 has the version and command 0x${command.toString(16)}`);
  }
  if (family === undefined || bytes.length < V2_FIXED_BYTES) return undefined;
  const rest = (bytes[V2_FIXED_BYTES - 2]! << 8) | bytes[V2_FIXED_BYTES - 1]!;
  if (rest > MAX_V2_REST_BYTES) {
    throw new ProxyHeaderError(
      `version 2 has ${rest} bytes, at most ${MAX_V2_REST_BYTES} are read`,
    );
  }
  const isLocal = (command & 15) === LOCAL;
  const addresses = isLocal ? 0 : V2_ADDRESS_BYTES.get(family);
  if (addresses === undefined) {
    throw new ProxyHeaderError(`version 2 has the family and protocol 0x${family.toString(16)}`);
  }
  if (rest < addresses) {
    throw new ProxyHeaderError(`version 2 has ${rest} bytes, its addresses take ${addresses}`);
  }
  if (bytes.length < V2_FIXED_BYTES + rest) return undefined;
  const ip = bytes.slice(V2_FIXED_BYTES, V2_FIXED_BYTES + (addresses === 12 ? 4 : 16));
  return {
    bytes: V2_FIXED_BYTES + rest,
    source: addresses === 0 ? undefined : formatIp(ip),
  };
}

/** A connection after its header. */
interface ProxiedWire {
  /** The bytes of the client. */
  readonly wire: Wire;
  /** As in `ProxyHeader`. */
  readonly source: string | undefined;
}

/**
 * Reads the header of `conn`. Resolves with `undefined` if the other side ends before its first byte, as checks of a port
 * do. Throws `ProxyHeaderError`, or the error of the system.
 */
export async function readProxyHeader(conn: Wire): Promise<ProxiedWire | undefined> {
  const buffer = new Uint8Array(V2_FIXED_BYTES + MAX_V2_REST_BYTES);
  let length = 0;
  for (;;) {
    const header = parseProxyHeader(buffer.subarray(0, length));
    if (header) {
      const rest = buffer.slice(header.bytes, length);
      return { wire: new WireAfter(rest, conn), source: header.source };
    }
    const count = await conn.read(buffer.subarray(length));
    if (count === null && length === 0) return undefined;
    if (count === null) throw new ProxyHeaderError(`it ended after ${length} bytes`);
    length += count;
  }
}
