/** What a restart after a kill must not do to the order of things: found by crash runs, each with its story. */

import { assertEquals } from "@std/assert";
import { RawClient } from "../kit/raw_client.ts";
import { Victim } from "./victim.ts";
import { drained } from "./wire_reader.ts";

/** Servers one after the other on one store, each killed at its end. */
async function eachServer(
  ...uses: { workers: number; use: (client: RawClient, victim: Victim) => Promise<void> }[]
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sd-restart-" });
  try {
    for (const { workers, use } of uses) {
      const victim = new Victim({ engine: `sqlite:${folder}/sd.db`, workers, stateDir: folder });
      await victim.start();
      try {
        using client = await RawClient.connect(victim.address);
        await use(client, victim);
      } finally {
        await victim.kill();
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a task whose turn came by another's end hides none that wait before it on disk", async () => {
  const before = ["e1", "e2", "e3"];
  await eachServer({
    workers: 1,
    async use(client) {
      await client.ask({ op: "square", n: 1, task: { id: "first" } });
      assertEquals((await client.object()).status, "completed");
    },
  }, {
    workers: 0,
    async use(client) {
      for (const id of before) {
        await client.ask({ op: "echo", data: id, task: { id, wait: false } });
      }
      const task = { id: "child", after: ["first"], wait: false };
      assertEquals((await client.ask({ op: "echo", data: 0, task })).status, "queued");
    },
  }, {
    workers: 1,
    async use(client, { address }) {
      await drained(address, 10_000);
      for (const task_id of [...before, "child"]) {
        assertEquals((await client.ask({ cmd: "get", task_id })).status, "completed", task_id);
      }
    },
  });
});
