/** PROXY headers for tests, made by hand after the specification: nothing of the server's parser is used. */

const V2_START = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];

/** A header of version 2 with any fields. */
export function v2Header(
  { command = 0x21, family = 0x11, addresses = [], tlvs = [], length }: {
    command?: number;
    family?: number;
    addresses?: readonly number[];
    tlvs?: readonly number[];
    /** What the header says its length is; default: the truth. */
    length?: number;
  },
): Uint8Array {
  const rest = length ?? addresses.length + tlvs.length;
  return new Uint8Array([
    ...V2_START,
    command,
    family,
    rest >> 8,
    rest & 255,
    ...addresses,
    ...tlvs,
  ]);
}

/** Version 2 of a TCP client over IPv4. */
export function v2Tcp4(source: readonly [number, number, number, number]): Uint8Array {
  return v2Header({ addresses: [...source, 127, 0, 0, 1, 0xd4, 0x31, 0x13, 0x88] });
}

/** Version 1 of a TCP client, over IPv6 if its address has a colon. */
export function v1Header(source: string): Uint8Array {
  const family = source.includes(":") ? "TCP6" : "TCP4";
  const to = source.includes(":") ? "::1" : "127.0.0.1";
  return new TextEncoder().encode(`PROXY ${family} ${source} ${to} 54321 5000\r\n`);
}
