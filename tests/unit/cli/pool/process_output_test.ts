/** What another process writes: every line of it, unless it is too long or there are too many. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { LineBudget, readOutput } from "../../../../cli/pool/pool_child.ts";

async function linesOf(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
  const lines: string[] = [];
  const bytes = chunks.map((chunk) =>
    typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk
  );
  await readOutput(
    ReadableStream.from(bytes).getReader(),
    new LineBudget((line) => lines.push(line)),
  );
  return lines;
}

Deno.test("lines come whole, whatever the pieces, also the last one without its end", async () => {
  assertEquals(await linesOf(["one\ntw", "o\r\n\n", "  \nthr", "ee"]), ["one", "two", "three"]);
  const split = new TextEncoder().encode("ü\n");
  assertEquals(await linesOf([split.slice(0, 1), split.slice(1)]), ["ü"]);
  assertEquals(await linesOf([new Uint8Array([0xff, 0xfe, 10])]), ["\ufffd\ufffd"]);
  assertEquals(await linesOf([]), []);
});

Deno.test("only the head of an endless line is kept", async () => {
  const lines = await linesOf([...Array(100).fill("x".repeat(65_536)), "\nnext\n"]);
  assertEquals(lines.length, 2);
  assertMatch(lines[0]!, /^x{1000}…$/);
  assertEquals(lines[1], "next");
});

Deno.test("if there are too many lines, the first ones come, and the number of the others", async () => {
  const lines = await linesOf(Array.from({ length: 100_000 }, (_, i) => `line ${i}\n`));
  assertEquals(lines.slice(0, 50), Array.from({ length: 50 }, (_, i) => `line ${i}`));
  const shown = lines.filter((line) => line.startsWith("line")).length;
  const leftOut = lines.flatMap((line) => /^\((\d+) more lines? w/.exec(line)?.[1] ?? []);
  assert(shown < 1000, `${shown}`);
  assertEquals(shown + leftOut.reduce((sum, count) => sum + Number(count), 0), 100_000);
});
