/** How ops are shown to a person: as a table that fits a terminal, or one of them in full. */

import { assertEquals } from "@std/assert";
import type { OpView } from "../../../../protocol/task.ts";
import { opDetails, opTable } from "../../../../client/commands/ops.ts";

const RESIZE: OpView = {
  op: "resize",
  file: "tasks.ts",
  version: "0123456789ab",
  timeout: 120_000,
  attempts: 3,
  schema: { vendor: "zod", json: { type: "object" } },
  workers: 4,
};

Deno.test("built-in ops are a table of two columns", () => {
  assertEquals(
    opTable([{ op: "echo", workers: 4 }, { op: "square", workers: 12 }]),
    "OP      WORKERS\necho          4\nsquare       12",
  );
});

Deno.test("files and options have a column if there are any, cut to the width of a terminal", () => {
  const table = opTable([
    { op: "echo", workers: 4, paused: true },
    RESIZE,
    {
      ...RESIZE,
      op: "fetch",
      limit: 2,
      rate: "10/1m",
      backoff: 500,
      expires: 3_600_000,
      isolate: true,
    },
    { op: "safe", file: "tasks.ts", permissions: [], workers: 1 },
  ]);
  assertEquals(table.split("\n"), [
    "OP      WORKERS  FILE      OPTIONS",
    "echo          4            paused",
    "resize        4  tasks.ts  timeout 2m, attempts 3, schema from zod",
    "fetch         4  tasks.ts  timeout 2m, attempts 3, backoff 500ms, expires 1h, l…",
    "safe          1  tasks.ts  no permissions",
  ]);
  assertEquals(Math.max(...table.split("\n").map((line) => line.length)), 80);
});

Deno.test("the details of an op have every option, its permissions and its schema", () => {
  const permissions = ["net=api.example.com", "read=/data"];
  assertEquals(opDetails({ ...RESIZE, paused: true, isolate: true, permissions }).split("\n"), [
    "op           resize",
    "file         tasks.ts",
    "version      0123456789ab",
    "workers      4",
    "paused       resume it with: sd resume resize",
    "timeout      2m",
    "attempts     3",
    "isolate      a fresh worker for each run",
    "permissions  net=api.example.com, read=/data",
    "schema       zod",
    "",
    "{",
    '  "type": "object"',
    "}",
  ]);
  assertEquals(
    opDetails({ op: "echo", workers: 1 }),
    "op       echo\nfile     built in\nworkers  1",
  );
});

Deno.test("text of strangers is escaped for the terminal", () => {
  const told = opDetails({
    ...RESIZE,
    file: "a\u001b[2J",
    schema: { vendor: "x\n", json: { title: "\u009b2J" } },
  });
  assertEquals(/[^\x20-\x7e\n]/.test(told), false, JSON.stringify(told));
});
