/** The seal of a work link: what one side writes the other reads, and nothing else that comes between. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { SdError } from "../../../protocol/errors.ts";
import { MAX_SEAL_RECORD_BYTES } from "../../../protocol/limits.ts";
import {
  acceptSealAnswer,
  answerSealOffer,
  newSealOffer,
  type Seal,
  SealError,
} from "../../../protocol/link_seal.ts";

const SECRET = "a secret of the pool";

function bothSides(secrets = { pool: SECRET, server: SECRET }): { pool: Seal; server: Seal } {
  const line = newSealOffer();
  const { seal: offer } = JSON.parse(line);
  const { answer, seal } = answerSealOffer({ line, offer, secret: secrets.server });
  return { pool: acceptSealAnswer({ offer: line, answer, secret: secrets.pool }), server: seal };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("both directions carry what is written, in pieces of any size", () => {
  const { pool, server } = bothSides();
  const large = new Uint8Array(2 * MAX_SEAL_RECORD_BYTES + 1).map((_, i) => i);
  for (const piece of [1, 3, 4, 21, 65_536, 10_000_000]) {
    for (const [from, to] of [[pool, server], [server, pool]] as const) {
      const sealed = from.sealer.seal(bytesOf("one\ntwo ü\n"));
      const more = from.sealer.seal(piece < 21 ? bytesOf("x") : large);
      const all = new Uint8Array([...sealed, ...more]);
      const opened: number[] = [];
      for (let at = 0; at < all.length; at += piece) {
        for (const byte of to.opener.push(all.slice(at, at + piece))) opened.push(byte);
      }
      const end = opened.splice(bytesOf("one\ntwo ü\n").length);
      assertEquals(textOf(new Uint8Array(opened)), "one\ntwo ü\n");
      assert(piece < 21 ? end.length === 1 : end.every((byte, i) => byte === large[i]));
      assertEquals(end.length, piece < 21 ? 1 : large.length);
    }
  }
});

Deno.test("sealed bytes show nothing of the text, and equal texts are never sealed alike", () => {
  const { pool } = bothSides();
  const first = pool.sealer.seal(bytesOf('{"lease":7,"result":"secret"}\n'));
  const second = pool.sealer.seal(bytesOf('{"lease":7,"result":"secret"}\n'));
  assert(!new TextDecoder("latin1").decode(first).includes("secret"));
  assert(first.slice(4).filter((byte, i) => byte === second[i + 4]).length < 10);
});

Deno.test("a byte changed, missing, put in, a record twice or out of its turn: nothing opens any more", () => {
  const records = (seal: Seal) => ["a", "bb", "ccc"].map((text) => seal.sealer.seal(bytesOf(text)));
  const spoils: [string, (records: Uint8Array[]) => Uint8Array[]][] = [
    ["changed text", ([a, ...rest]) => [a!.map((byte, i) => i === 4 ? byte ^ 1 : byte), ...rest]],
    ["changed tag", ([a, ...rest]) => [a!.map((byte, i) => i === 20 ? byte ^ 128 : byte), ...rest]],
    ["changed length", ([a, ...rest]) => [a!.map((byte, i) => i === 3 ? byte - 1 : byte), ...rest]],
    ["missing byte", ([a, ...rest]) => [a!.slice(0, -1), ...rest]],
    ["missing record", ([, ...rest]) => rest],
    ["a record twice", ([a, ...rest]) => [a!, a!, ...rest]],
    ["records in another turn", ([a, b, c]) => [b!, a!, c!]],
    ["a line put in", ([a, ...rest]) => [a!, bytesOf('{"lease":1,"result":"FORGED"}\n'), ...rest]],
    ["a line in front", (all) => [bytesOf('{"lease":1,"result":"FORGED"}\n'), ...all]],
    ["the other side's own", ([a]) => [a!, new Uint8Array(64)]],
    ["an endless record", () => [new Uint8Array([255, 255, 255, 255, 1])]],
  ];
  for (const [what, spoil] of spoils) {
    const { pool, server } = bothSides();
    let opened = "";
    const error = assertThrows(() => {
      for (const bytes of spoil(records(pool))) opened += textOf(server.opener.push(bytes));
    });
    assert(error instanceof SealError, `${what}: ${error}`);
    assert(["", "a", "abb"].includes(opened), `${what}: ${opened}`);
    assertThrows(() => server.opener.push(pool.sealer.seal(bytesOf("later"))), SealError);
  }
});

Deno.test("a side does not accept its own records as those of the other side", () => {
  const { pool } = bothSides();
  const own = pool.sealer.seal(bytesOf("mine"));
  assertThrows(() => pool.opener.push(own), SealError);
});

Deno.test("another secret opens nothing, and neither does the same one on another link", () => {
  const other = bothSides({ pool: "another secret", server: SECRET });
  assertThrows(() => other.server.opener.push(other.pool.sealer.seal(bytesOf("x"))), SealError);
  const [first, second] = [bothSides(), bothSides()];
  assertThrows(() => second.server.opener.push(first.pool.sealer.seal(bytesOf("x"))), SealError);
});

Deno.test("an offer that is none is refused, whatever it is", () => {
  const { seal } = JSON.parse(newSealOffer());
  const offers: unknown[] = [
    ...[null, 1, "x", [], {}, { ...seal, nonce: "00" }, { ...seal, nonce: 5 }],
    ...[[], "aes-256-gcm", ["des"], [{}], null].map((ciphers) => ({ ...seal, ciphers })),
  ];
  for (const offer of offers) {
    const line = JSON.stringify({ cmd: "work", seal: offer });
    const error = assertThrows(() => answerSealOffer({ line, offer, secret: SECRET }));
    assert(error instanceof SdError && error.code === "bad_request", JSON.stringify(offer));
  }
});
