/** Due tasks that stand still beside an idle worker are found, reported and started. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async/delay";
import type { EndedSink } from "../../server/engine/engine.ts";
import { openSqliteEngine } from "../../server/engine/sqlite/open_sqlite.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import { TestServer } from "../kit/test_server.ts";

/** Nearly everything lies on disk. */
const TINY = { lane: 6, page: 4, all: 50, few: 2, chars: 100_000, delayed: 4 };

/** An engine whose store leaves all rows but the last out of some pages that answer to `broken`. */
async function openBroken(path: string, broken: string, ended: EndedSink) {
  const now = Date.now();
  const { store, opened } = await Store.open({ path, durability: "normal", now });
  let left = 5;
  const through: Pick<Store, "call" | "close"> = {
    async call(call, ask) {
      const answer = await store.call(call, ask);
      if (call !== broken || !Array.isArray(answer) || answer.length < 2 || left === 0) {
        return answer;
      }
      left--;
      return answer.slice(-1) as unknown as typeof answer;
    },
    close: () => store.close(),
  };
  return await openSqliteEngine({
    ended,
    store: through,
    opened,
    now,
    report: () => {},
    maxKept: 1_000_000,
    maxBytes: Infinity,
    sizes: TINY,
  });
}

for (
  const [what, call, options] of [
    ["queued", "lane", {}],
    ["delayed", "due", { delay: 3000 }],
  ] as const
) {
  Deno.test(`${what} tasks that a page leaves out are found by the watchdog, reported and run`, async () => {
    const folder = await Deno.makeTempDir();
    const engine = (ended: EndedSink) => openBroken(`${folder}/sd.db`, call, ended);
    try {
      await using server = await TestServer.start({ engine, mayStandStill: true });
      using client = await server.connect();
      await client.ask({ cmd: "pause" });
      for (let n = 0; n < 40; n++) {
        await client.ask({ op: "square", n, task: { wait: false, ...options } });
      }
      await client.ask({ cmd: "resume" });
      const stats = async () =>
        await client.ask({ cmd: "stats" }) as unknown as {
          tasks: { completed: number };
          standstills: number;
          notices?: { message: string }[];
        };
      while ((await stats()).tasks.completed < 40) await delay(100);
      const { standstills, notices = [] } = await stats();
      assert(standstills > 0, "it is counted");
      assertEquals(notices.length, 1);
      const line = server.lines.find((one) => one.startsWith("[watchdog] ERROR")) ?? "";
      assertMatch(line, /stood in no queue, beside an idle worker.*The engine knew.*room/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
