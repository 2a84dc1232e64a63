/** Ops on workers of several profiles: each op gets its turn, and isolated ones a fresh worker. */

import { assert, assertEquals } from "@std/assert";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import type { RawClient } from "../kit/raw_client.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

const TASKS = `
let runs = 0;
export const shared = () => ++runs;
export const fresh = () => ++runs;
fresh.options = { isolate: true };
export const quick = ({ n }) => n;
export const apart = ({ n }) => n;
apart.options = { permissions: "none" };
export const apart_too = ({ n }) => n;
apart_too.options = { permissions: { env: ["HOME"] } };
export const fresh_and_broken = () => { throw new Error("broken"); };
fresh_and_broken.options = { isolate: true };
export const fresh_and_gone = () => new Promise(() => setTimeout(() => { throw new Error("stray"); }, 1));
fresh_and_gone.options = { isolate: true };
`;

/** More than any single op here requests. */
const PERMISSIONS: TaskPermissions = { env: ["HOME"], sys: true };

async function resultsOf(client: RawClient, tasks: object[]): Promise<Map<unknown, unknown>> {
  await client.sendObjects(...tasks.map((task, ref) => ({ ...task, ref })));
  const results = new Map<unknown, unknown>();
  while (results.size < tasks.length) {
    const { ref, status, result, error } = await client.object();
    if (status === "completed" || error) results.set(ref, error?.message ?? result);
  }
  return results;
}

Deno.test("each run of an isolated op has a fresh worker", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await TestServer.start({
    workers: 2,
    work: { taskFiles: folder.refs("tasks.js"), permissions: PERMISSIONS },
  });
  using client = await server.connect();
  const fresh = await resultsOf(client, Array.from({ length: 12 }, () => ({ op: "fresh" })));
  assertEquals([...fresh.values()], Array(12).fill(1));
  const mixed = await resultsOf(
    client,
    Array.from({ length: 30 }, (_, i) => ({ op: i % 3 === 0 ? "fresh" : "shared" })),
  );
  for (const [ref, runs] of mixed) assert(Number(ref) % 3 !== 0 || runs === 1, `${ref}: ${runs}`);
  const ends = await resultsOf(client, [
    { op: "fresh_and_broken" },
    { op: "fresh_and_gone" },
    { op: "fresh" },
    { op: "shared" },
  ]);
  assertEquals([ends.get(0), ends.get(1), ends.get(2)], ["broken", "stray", 1]);
});

Deno.test("on one worker, tasks of several profiles all complete", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await TestServer.start({
    workers: 1,
    work: { taskFiles: folder.refs("tasks.js"), permissions: PERMISSIONS },
  });
  using client = await server.connect();
  const ops = ["quick", "apart", "apart_too", "square"];
  const tasks = Array.from({ length: 40 }, (_, n) => ({ op: ops[n % ops.length], n }));
  const results = await resultsOf(client, tasks);
  for (const [n, result] of results) {
    assertEquals(result, Number(n) % 4 === 3 ? Number(n) ** 2 : n);
  }
});

Deno.test("a profile gets its turn while tasks of another keep every worker busy", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await TestServer.start({
    workers: 2,
    work: { taskFiles: folder.refs("tasks.js"), permissions: PERMISSIONS },
  });
  using flood = await server.connect();
  let flooding = true;
  let flooded = 0;
  const pump = (async () => {
    const wave = Array.from({ length: 500 }, (_, n) => ({ op: "quick", n }));
    while (flooding) flooded += (await resultsOf(flood, wave)).size;
  })();
  using client = await server.connect();
  for (let n = 0; n < 5; n++) {
    const results = await resultsOf(client, [{ op: "apart", n }]);
    assertEquals(results.get(0), n);
  }
  flooding = false;
  await pump;
  assert(flooded > 0);
});
