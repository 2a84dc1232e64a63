/** `--max-memory` from end to end: tasks that use too much memory, in worker processes of a real server. */

import { assert, assertEquals } from "@std/assert";
import type { RawClient } from "../kit/raw_client.ts";
import { residentMib } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

const MIB = 1024 * 1024;
const TASKS = `
const piece = () => new Uint8Array(1024 * 1024).fill(1);
const spin = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); };
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** Runs until its process is ended. */
export const hoard = () => { const pieces = []; for (;;) { pieces.push(piece()); spin(1); } };
export const hoard_heap = () => { const pieces = []; for (;;) pieces.push({ more: pieces.length }); };
export const hoard_slowly = async () => {
  const pieces = [];
  for (;;) { pieces.push(piece()); if (pieces.length % 4 === 0) await wait(2); }
};
export const compute = ({ ms, n }) => { spin(ms); return n; };
export const rest = async ({ ms, n }) => { await wait(ms); return n; };
export const moderate = ({ n }) => {
  const pieces = [];
  while (pieces.length < 60) pieces.push(piece());
  spin(150);
  return n;
};
`;

interface End {
  status: string;
  result?: number;
  error?: { code: string };
  attempt?: number;
}

function startServer(folder: TaskFolder, workers: number, shareMib = 128): Promise<TestServer> {
  return TestServer.start({
    workers,
    work: { taskFiles: folder.refs("tasks.js"), maxMemoryBytes: shareMib * MIB },
  });
}

async function endsOf(client: RawClient, tasks: object[]): Promise<End[]> {
  await client.sendObjects(...tasks.map((task, ref) => ({ ...task, ref })));
  const ends: End[] = [];
  for (let left = tasks.length; left > 0;) {
    const reply = await client.object();
    assert(reply.ref !== undefined, JSON.stringify(reply));
    if (reply.status === "queued") continue;
    ends[reply.ref] = reply;
    left--;
  }
  return ends;
}

const codeOf = ({ status, error }: End) => error?.code ?? status;

for (const op of ["hoard", "hoard_heap", "hoard_slowly"]) {
  Deno.test(`of many tasks only the one that takes too much (${op}) fails, and all others are right`, async () => {
    using folder = new TaskFolder({ "tasks.js": TASKS });
    await using server = await startServer(folder, 2);
    using client = await server.connect();
    const innocent = Array.from(
      { length: 40 },
      (_, n) => n % 2 === 0 ? { op: "compute", ms: 40, n } : { op: "rest", ms: 40, n },
    );
    const tasks = [...innocent.slice(0, 10), { op, task: { attempts: 5 } }, ...innocent.slice(10)];
    const ends = await endsOf(client, tasks);
    const [guilty] = ends.splice(10, 1);
    assertEquals(codeOf(guilty!), "out_of_memory");
    assertEquals(ends.map(({ result }) => result), innocent.map(({ n }) => n));
  });
}

Deno.test("among tasks that never yield, the one that takes too much memory fails, and no other", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await startServer(folder, 3);
  using client = await server.connect();
  const ends = await endsOf(client, [
    { op: "compute", ms: 1500, n: 1 },
    { op: "hoard" },
    { op: "compute", ms: 1500, n: 2 },
  ]);
  assertEquals(ends.map(codeOf), ["completed", "out_of_memory", "completed"]);
  assertEquals([ends[0]?.result, ends[2]?.result], [1, 2]);
});

Deno.test("two tasks that take too much memory at once both fail, and no other", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await startServer(folder, 3);
  using client = await server.connect();
  const ends = await endsOf(client, [
    { op: "hoard" },
    { op: "hoard_heap" },
    { op: "rest", ms: 800, n: 3 },
    { op: "compute", ms: 300, n: 4 },
  ]);
  assertEquals(ends.map(codeOf), ["out_of_memory", "out_of_memory", "completed", "completed"]);
});

Deno.test("tasks that use half of their share each never fail for memory", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await startServer(folder, 2);
  using client = await server.connect();
  const tasks = Array.from({ length: 60 }, (_, n) => ({ op: "moderate", n }));
  const ends = await endsOf(client, tasks);
  assertEquals(ends.map(({ result }) => result), tasks.map(({ n }) => n));
});

Deno.test("the memory of tasks does not grow the server's own process", async () => {
  using folder = new TaskFolder({ "tasks.js": TASKS });
  await using server = await startServer(folder, 2, 512);
  using client = await server.connect();
  const before = await residentMib(Deno.pid);
  const ends = await endsOf(client, [{ op: "hoard_heap" }, { op: "hoard_slowly" }]);
  assertEquals(ends.map(codeOf), ["out_of_memory", "out_of_memory"]);
  assert(await residentMib(Deno.pid) < before + 200);
});
