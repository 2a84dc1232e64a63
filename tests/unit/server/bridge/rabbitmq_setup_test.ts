/** Frames of one turn go to the socket together, in their order. */

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { gatherWrites } from "../../../../server/bridge/rabbitmq_setup.ts";

Deno.test("frames of one turn are one write, also those before the end", async () => {
  const seen: string[] = [];
  const stream = {
    writableNeedDrain: false,
    write(chunk: unknown) {
      seen.push(String(chunk));
      return true;
    },
    end() {
      seen.push("end");
    },
  };
  gatherWrites(stream as unknown as Parameters<typeof gatherWrites>[0]);
  stream.write(Buffer.from("a"));
  stream.write(Buffer.from("b"));
  await Promise.resolve();
  assertEquals(seen, ["ab"]);
  stream.write(Buffer.from("c"));
  stream.end();
  await Promise.resolve();
  assertEquals(seen, ["ab", "c", "end"]);
  stream.write(Buffer.alloc(70_000));
  assertEquals(seen.length, 4);
});
