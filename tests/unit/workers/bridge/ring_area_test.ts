/** The ring in which results wait: what goes in comes out, in order, whatever its size. */

import { assert, assertEquals } from "@std/assert";
import { leaseOf, resultLine } from "../../../../protocol/work_message.ts";
import { ResultRing, RingReader } from "../../../../workers/bridge/ring_area.ts";
import { RING_BYTES, TaskShare } from "../../../../workers/bridge/task_table.ts";

class Collected {
  text = "";
  readonly #decoder = new TextDecoder();

  write(bytes: Uint8Array): void {
    this.text += this.#decoder.decode(bytes.slice(), { stream: true });
  }
}

function newRing() {
  const { row, results: ring } = new TaskShare();
  return {
    writer: new ResultRing(ring, row),
    reader: RingReader.ofResults(ring, row),
  };
}

Deno.test("a short result is written as the wire has it, for leases of any length", () => {
  for (const lease of [1, 9, 10, 99, 12345, 2 ** 31 - 1, 2 ** 31, 1e15, Number.MAX_SAFE_INTEGER]) {
    const { writer, reader } = newRing();
    const out = new Collected();
    assert(writer.writeResult(lease, '{"a":[1,"b"]}'));
    reader.take(writer.end, out);
    assertEquals(out.text, resultLine(lease, '{"a":[1,"b"]}') + "\n");
    assertEquals(leaseOf(out.text.trimEnd()), lease);
  }
});

Deno.test("text beyond ASCII is left to writeLine, and comes out as UTF-8", () => {
  const { writer, reader } = newRing();
  const out = new Collected();
  assert(!writer.writeResult(1, '"ä"'));
  assertEquals(writer.end, 0);
  assert(writer.writeLine('{"lease":1,"result":"ä€😀"}'));
  reader.take(writer.end, out);
  assertEquals(out.text, '{"lease":1,"result":"ä€😀"}\n');
});

Deno.test("the last line can be dropped, alone or behind others", () => {
  const { writer, reader } = newRing();
  const out = new Collected();
  writer.writeResult(1, "1");
  reader.takeButLast(writer.end, out);
  assertEquals(out.text, "");
  writer.writeResult(2, "2");
  writer.writeResult(3, "3");
  reader.takeButLast(writer.end, out);
  assertEquals(out.text, resultLine(2, "2") + "\n");
});

Deno.test("a full ring takes no more, and goes on once it is read", () => {
  const { writer, reader } = newRing();
  let written = 0;
  while (writer.writeResult(1, "x".repeat(100))) written++;
  assert(written > RING_BYTES / 200);
  assert(!writer.writeResult(1, "x".repeat(100)));
  assert(!writer.writeLine("x".repeat(200)));
  reader.skip(writer.end);
  assert(writer.writeResult(1, "x".repeat(100)));
});

Deno.test("any sequence of lines comes out as it went in, also round the end of the ring", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor(state / 2 ** 31 * below);
  };
  const { writer, reader } = newRing();
  const out = new Collected();
  let expected = "";
  for (let i = 1; i <= 20_000; i++) {
    const json = `"${"ab".repeat(random(random(10) === 0 ? 400 : 20))}${random(8) ? "" : "é"}"`;
    const line = resultLine(i, json);
    if (writer.writeResult(i, json) || writer.writeLine(line)) expected += line + "\n";
    if (random(50) === 0) reader.take(writer.end, out);
  }
  reader.take(writer.end, out);
  assert(out.text === expected, `seed ${seed}: what came out is not what went in`);
  assert(out.text.length > 4 * RING_BYTES, `seed ${seed}: the ring was not gone round`);
});
