/** The line in which the top level of a task file waits or loops, as far as its text tells. */

import { assertEquals } from "@std/assert";
import { firstWait, LoadFault } from "../../../../workers/ops/load_fault.ts";

Deno.test("the first line that awaits or loops outside of every function is found", () => {
  const cases: [text: string, line: number | undefined][] = [
    ["", undefined],
    ["export const x = 1;", undefined],
    ["await x;", 1],
    ["\nconst a = 1;\nconst b = await a;\n", 3],
    ["const text = JSON.parse(await read());", 1],
    ["const all = [1, await two];", 1],
    ["\nwhile (true);", 2],
    ["for (;;);", 1],
    ["do {} while (true)", 1],
    ["export async function f() { await x; }\n\nawait f();", 3],
    ["class A { async f() { await x; for (;;); } }", undefined],
    ["export const f = async () => { await x; };\nawait f();", 2],
  ];
  for (const [text, line] of cases) assertEquals(firstWait(text), line, text);
});

Deno.test("an await in an arrow function is no wait of the top level", () => {
  const cases: [text: string, line: number | undefined][] = [
    ["export const f = async () => await x;", undefined],
    ["export const f = async () => await x\nexport const g = await f()", 2],
    ["const all = list.map(async (x) => await x);", undefined],
    ["const all = list.map(async (x) => (await x).y);\nawait all;", 2],
    ["const a = f(() => 1) + await b;", 1],
    ["const a = f(async () => await 1, 2), b = [await c];", 1],
  ];
  for (const [text, line] of cases) assertEquals(firstWait(text), line, text);
});

Deno.test("comments, strings and names hold no wait", () => {
  for (
    const text of [
      "// await x",
      "/* for\nwhile */",
      'const a = "await \\" x";',
      "const a = 'do';",
      "const a = `while ${b}`;",
      "const awaiting = forge(format, done);",
      "reader.for(x).do();",
    ]
  ) assertEquals(firstWait(text), undefined, text);
  assertEquals(firstWait("// (((\nawait x;"), 2);
});

Deno.test("the place of a fault is in the task file, not in the file of sd that imports it", () => {
  const own = new URL("../../../../workers/worker/load_tasks.ts", import.meta.url).href;
  const file = { name: "tasks.js", url: "file:///srv/tasks.js" };
  const error = new TypeError("no constraint for it");
  error.stack = `TypeError: no constraint for it\n    at load (${own}:58:20)`;
  assertEquals(LoadFault.of(error, file).message, "tasks.js: TypeError: no constraint for it");
  error.stack += "\n    at file:///srv/tasks.js:3:7";
  assertEquals(LoadFault.of(error, file).message, "tasks.js:3: TypeError: no constraint for it");
});
