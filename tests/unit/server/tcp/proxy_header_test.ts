/** The parser of PROXY headers: every split of every header, hostile lengths, and bytes at random. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  parseProxyHeader,
  ProxyHeaderError,
  readProxyHeader,
} from "../../../../server/tcp/socket/proxy_header.ts";
import type { Wire } from "../../../../net/wire.ts";
import { newSeed, Random } from "../../../fuzz/random.ts";
import { v1Header, v2Header, v2Tcp4 } from "../../../kit/proxy_headers.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const IPV6 = [0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 7];
const LONGEST_V1 = "PROXY TCP6 " + "ffff:".repeat(7) + "ffff " + "ffff:".repeat(7) +
  "ffff 65535 65535\r\n";

/** Headers as balancers send them, each with the address that it must give. */
const RIGHT: readonly (readonly [Uint8Array, string | undefined])[] = [
  [v1Header("10.0.0.9"), "10.0.0.9"],
  [v1Header("2001:db8::7"), "2001:db8::7"],
  [bytesOf("PROXY TCP6 ::ffff:10.0.0.9 ::1 1 2\r\n"), "10.0.0.9"],
  [bytesOf(LONGEST_V1), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  [bytesOf("PROXY UNKNOWN\r\n"), undefined],
  [bytesOf("PROXY UNKNOWN ffff::1 what ever 1 2\r\n"), undefined],
  [v2Tcp4([10, 0, 0, 9]), "10.0.0.9"],
  [v2Header({ family: 0x21, addresses: [...IPV6, ...IPV6, 1, 2, 3, 4] }), "2001:db8::7"],
  [
    v2Header({ addresses: [10, 0, 0, 9, 1, 1, 1, 1, 1, 2, 3, 4], tlvs: [4, 0, 2, 9, 9] }),
    "10.0.0.9",
  ],
  [
    v2Header({ addresses: [10, 0, 0, 9, 1, 1, 1, 1, 1, 2, 3, 4], tlvs: new Array(4084).fill(10) }),
    "10.0.0.9",
  ],
  [v2Header({ command: 0x20, family: 0 }), undefined],
  [v2Header({ command: 0x20, family: 0x31, tlvs: new Array(300).fill(13) }), undefined],
  [v2Header({ family: 0, tlvs: [1, 2, 3] }), undefined],
];

/** Beginnings that no header has: refused at the latest with their last byte. */
const WRONG: readonly Uint8Array[] = [
  bytesOf('{"cmd":"ping"}\n'),
  bytesOf("GET / HTTP/1.1\r\n"),
  bytesOf("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
  bytesOf("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n"),
  bytesOf("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n"),
  bytesOf("PROXY TCP4 ::1 ::1 1 2\r\n"),
  bytesOf("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"),
  bytesOf("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"),
  bytesOf("PROXY UNKNOWNS\r\n"),
  bytesOf("PROXY \r\n"),
  bytesOf("PROXY UNKNOWN " + "x".repeat(92) + "\r"),
  bytesOf("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + "x".repeat(80)),
  new Uint8Array([0x16, 3, 1, 2, 0, 1]),
  new Uint8Array([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0b]),
  v2Header({ command: 0x11 }),
  v2Header({ command: 0x31 }),
  v2Header({ command: 0x22 }),
  v2Header({ family: 0x12, length: 12 }),
  v2Header({ family: 0x22, length: 36 }),
  v2Header({ family: 0x31, length: 216 }),
  v2Header({ family: 0x41, length: 12 }),
  v2Header({ length: 11 }),
  v2Header({ family: 0x21, length: 35 }),
  v2Header({ length: 4097 }),
  v2Header({ length: 65535 }),
  v2Header({ command: 0x20, family: 0, length: 4097 }),
];

Deno.test("headers of both versions give the address of the client, and their own length", () => {
  for (const [header, source] of RIGHT) {
    const withMore = new Uint8Array([...header, ...header, 0x16, 3, 1]);
    for (const bytes of [header, withMore]) {
      assertEquals(parseProxyHeader(bytes), { bytes: header.length, source });
    }
  }
});

Deno.test("no beginning of a header is taken for a header, or refused", () => {
  for (const [header] of RIGHT) {
    for (let length = 0; length < header.length; length++) {
      assertEquals(parseProxyHeader(header.subarray(0, length)), undefined, `${length} bytes`);
    }
  }
});

Deno.test("what is no header is refused, with its reason", () => {
  for (const bytes of WRONG) {
    const error = assertThrows(() => parseProxyHeader(bytes), ProxyHeaderError);
    assert(error.message.length < 200);
  }
});

Deno.test("bytes at random, and headers with a byte changed, are refused or read within their length", () => {
  const seed = newSeed();
  const random = new Random(seed);
  for (let i = 0; i < 30_000; i++) {
    const [header] = random.pick(RIGHT);
    const bytes = random.chance(0.2) ? random.bytes(random.int(0, 300)) : header.slice();
    for (let n = random.int(0, 3); n > 0 && bytes.length > 0; n--) {
      bytes[random.int(0, Math.min(bytes.length, 40) - 1)] = random.int(0, 255);
    }
    try {
      const parsed = parseProxyHeader(bytes);
      assert(parsed === undefined || parsed.bytes <= bytes.length, `SD_SEED=${seed}`);
      // More bytes change nothing once there is a header.
      const more = new Uint8Array([...bytes, ...random.bytes(5)]);
      if (parsed) assertEquals(parseProxyHeader(more), parsed, `SD_SEED=${seed}`);
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error;
    }
  }
});

/** A connection that gives `bytes` in pieces, and then ends. */
function wireOf(bytes: Uint8Array, cuts: readonly number[]): Wire {
  const ends = [...cuts, bytes.length];
  let at = 0;
  return {
    read(buffer) {
      const end = ends.find((cut) => cut > at);
      if (end === undefined) return Promise.resolve(null);
      const count = Math.min(end - at, buffer.length);
      buffer.set(bytes.subarray(at, at + count));
      at += count;
      return Promise.resolve(count);
    },
    write: (written) => Promise.resolve(written.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
}

async function readAll(wire: Wire, bufferBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(bufferBytes);
  let text = "";
  for (let count; (count = await wire.read(buffer)) !== null;) {
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return text;
}

Deno.test("wherever the bytes are split, the client's bytes are all that is left", async () => {
  const payload = '{"cmd":"ping"}\nPROXY TCP4 6.6.6.6 6.6.6.6 1 2\r\n';
  for (const [header, source] of RIGHT) {
    const bytes = new Uint8Array([...header, ...bytesOf(payload)]);
    const step = header.length > 1000 ? 97 : 1;
    for (let cut = 0; cut <= bytes.length; cut += step) {
      const proxied = await readProxyHeader(wireOf(bytes, [cut, Math.min(cut + 3, bytes.length)]));
      assertEquals(proxied?.source, source);
      assertEquals(await readAll(proxied!.wire, 1 + cut % 7), payload);
    }
  }
});

Deno.test("a connection that ends within its header is refused; one without a byte is a check", async () => {
  const header = v2Tcp4([1, 2, 3, 4]);
  await assertRejects(() => readProxyHeader(wireOf(header.subarray(0, 20), [])), ProxyHeaderError);
  assertEquals(await readProxyHeader(wireOf(new Uint8Array(0), [])), undefined);
});
