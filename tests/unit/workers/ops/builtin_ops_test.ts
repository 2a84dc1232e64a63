/** The built-in ops: what they answer, and what they say to arguments that make no sense. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  BUILTIN_OPS,
  echo,
  hash,
  MAX_DIGITS,
  sleep,
  square,
} from "../../../../workers/ops/builtin.ts";
import { TaskContext } from "../../../../workers/ops/context.ts";

const host = {
  isCancelled: () => false,
  progress: () => undefined,
  note: () => undefined,
  log: () => undefined,
};

function newContext(after?: string): TaskContext {
  const task = { lease: 1, attempt: 1, timeout: 500, id: "a", op: "sleep", after, args: {} };
  return new TaskContext(host, task, 1);
}

Deno.test("the ops are square, echo, sleep and hash", () => {
  assertEquals([...BUILTIN_OPS.keys()], ["square", "echo", "sleep", "hash"]);
});

Deno.test("square is exact at every size", () => {
  const cases: [unknown, number | string][] = [
    [4, 16],
    [-7, 49],
    [0, 0],
    [0.5, 0.25],
    [94906265, 9007199136250225],
    [94906266, "9007199326062756"],
    [-94906266, "9007199326062756"],
    [Number.MAX_SAFE_INTEGER, "81129638414606663681390495662081"],
    ["4", 16],
    ["-12", 144],
    ["007", 49],
    ["-0", 0],
    ["9007199254740993", "81129638414606699710187514626049"],
    ["1" + "0".repeat(1000), "1" + "0".repeat(2000)],
  ];
  for (const [n, expected] of cases) assertEquals(square({ n }), expected);
});

Deno.test("square takes a number up to its limit of digits, and no longer one", () => {
  assertEquals(String(square({ n: "-" + "9".repeat(MAX_DIGITS) })).length, 2 * MAX_DIGITS);
  assertThrows(() => square({ n: "9".repeat(MAX_DIGITS + 1) }), Error, "100001");
});

Deno.test("square reports the argument that it needs and the one that it got", () => {
  for (const n of ["abc", "", " 4", "4.5", "+4", "0x10", "1e3", true, null, [], {}, "４"]) {
    assertThrows(
      () => square({ n }),
      Error,
      `square needs n: an integer, or a string of decimal digits; got ${JSON.stringify(n)}`,
    );
  }
  assertThrows(() => square({}), Error, "got none");
  assertThrows(() => square({ n: 1e300 }), Error, "send it as a string");
});

Deno.test("echo returns its data, and null without data", () => {
  const data = { a: [1, "ü", null], ["__proto__"]: 1 };
  const ctx = newContext();
  assert(echo({ data }, ctx) === data);
  assertEquals(echo({}, ctx), null);
  assertEquals(echo({ data: false }, ctx), false);
});

Deno.test("echo without data gives back the results of the tasks that it came after", () => {
  const after = '{"a-1":49,"__proto__":[1]}';
  const results = echo({}, newContext(after)) as Record<string, unknown>;
  assertEquals(JSON.stringify(results), after);
  assertEquals(echo({ data: 1 }, newContext(after)), 1);
  // What cannot be read is not looked at before it is asked for.
  assertEquals(echo({ data: 1 }, newContext("{")), 1);
});

Deno.test("hash hashes the text first and its bytes after, round for round", async () => {
  const sha256 = async (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  let digest = new TextEncoder().encode("héllo");
  for (let round = 1; round <= 3; round++) {
    digest = await sha256(digest);
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    assertEquals(hash({ data: "héllo", rounds: round }), hex);
  }
  assertEquals(
    hash({ data: "" }),
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
});

Deno.test("hash reports the argument that it needs and the one that it got", () => {
  assertThrows(() => hash({}), Error, "hash needs data: a string; got none");
  assertThrows(() => hash({ data: 5 }), Error, "got 5");
  for (const rounds of [0, -1, 1.5, 2 ** 53, "3", null]) {
    assertThrows(() => hash({ data: "a", rounds }), Error, `got ${JSON.stringify(rounds)}`);
  }
});

Deno.test("sleep ends after its time with the time", async () => {
  assertEquals(await sleep({ ms: 1 }, newContext()), 1);
  assertEquals(await sleep({ ms: 0 }, newContext()), 0);
});

Deno.test("sleep stops when it is asked to, before it began or after", async () => {
  const context = newContext();
  const sleeping = sleep({ ms: 3_600_000 }, context);
  TaskContext.stop(context, "timeout");
  await assertRejects(() => sleeping, DOMException, "stopped after 500 ms, its limit");

  const cancelled = new TaskContext(
    { ...host, isCancelled: () => true },
    { lease: 1, attempt: 1, timeout: 500, id: "a", op: "sleep", after: undefined, args: {} },
    1,
  );
  await assertRejects(() => sleep({ ms: 3_600_000 }, cancelled), DOMException, "cancelled");
});

Deno.test("sleep reports the argument that it needs and the one that it got", () => {
  for (const ms of [-1, 2 ** 31, "5", null, true]) {
    assertThrows(() => sleep({ ms }, newContext()), Error, `got ${JSON.stringify(ms)}`);
  }
  assertThrows(() => sleep({}, newContext()), Error, "got none");
});
