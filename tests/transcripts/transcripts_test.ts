/** Every transcript of this folder is what a real server says over a real socket. */

import { assert, assertRejects } from "@std/assert";
import { TestServer } from "../kit/test_server.ts";
import { readTurns, replay } from "./transcript.ts";

const FOLDER = new URL(".", import.meta.url);

Deno.test("the server speaks as the transcripts of the protocol say", async (t) => {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
    .filter((name) => name.endsWith(".txt")).sort();
  assert(files.length > 0);
  for (const file of files) {
    await t.step(file, async () => {
      await using server = await TestServer.start({ workers: 1 });
      const turns = readTurns(Deno.readTextFileSync(new URL(file, FOLDER)));
      assert(turns.some((turn) => turn.server));
      await replay(turns, server.address);
    });
  }
});

Deno.test("a transcript that the server does not speak is refused", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const turns = readTurns('C: {"op":"square","n":4}\nS: {"task_id":"…id…","status":"completed"}');
  await assertRejects(() => replay(turns, server.address));
});
