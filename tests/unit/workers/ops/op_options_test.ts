/** The `options` of an op: what is taken, and what is refused in which words. */

import { assertEquals, assertThrows } from "@std/assert";
import {
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_DELAY_MS,
  MAX_KEY_LIMIT,
  MAX_TIMEOUT_MS,
} from "../../../../protocol/limits.ts";
import { readOpOptions } from "../../../../workers/ops/op_options.ts";

function refusal(options: unknown): string {
  return assertThrows(() => readOpOptions("f", options), Error).message;
}

const CIRCLE: Record<string, unknown> = {};
CIRCLE.circle = CIRCLE;

Deno.test("an op without options asks for nothing", () => {
  const nothing = { spec: {}, schema: undefined, permissions: undefined };
  for (const options of [undefined, {}, { timeout: undefined, schema: undefined }]) {
    assertEquals(readOpOptions("f", options), nothing);
  }
  assertEquals(readOpOptions("f", { isolate: false }).spec, {});
});

Deno.test("options are an object with names that there are", () => {
  for (const options of [null, 5, "2m", [], () => {}, 5n]) {
    assertEquals(
      refusal(options).startsWith('f.options is an object, like { timeout: "2m" }'),
      true,
    );
  }
  assertEquals(
    refusal({ retries: 3 }),
    'f.options has no "retries"; there are timeout, backoff, expires, attempts, limit, rate, ' +
      "schema, permissions, isolate",
  );
  for (const name of ["__proto__x", "constructor", "toString"]) {
    assertEquals(refusal({ [name]: 1 }).startsWith(`f.options has no "${name}"`), true);
  }
});

Deno.test("durations are text or milliseconds, at their limits and no further", () => {
  for (
    const [name, min, max] of [
      ["timeout", 1, MAX_TIMEOUT_MS],
      ["backoff", 0, MAX_BACKOFF_MS],
      ["expires", 1, MAX_DELAY_MS],
    ] as const
  ) {
    for (const ms of [min, max]) {
      assertEquals(readOpOptions("f", { [name]: ms }).spec, { [name]: ms });
    }
    assertEquals(readOpOptions("f", { [name]: "1.5s" }).spec, { [name]: 1500 });
    const others = [min - 1, max + 1, 1.5, NaN, Infinity, null, true, [5], {}, "", "soon", "-1s"];
    for (const value of [...others, 5n, CIRCLE, Symbol("s"), () => 5, new Date(5)]) {
      const message = refusal({ [name]: value });
      const says =
        `f.options.${name} is a duration like "30s" or a number of ms, from ${min} to ${max}`;
      assertEquals(message.startsWith(says), true, message);
    }
  }
});

Deno.test("counts are integers, at their limits and no further", () => {
  for (const [name, max] of [["attempts", MAX_ATTEMPTS], ["limit", MAX_KEY_LIMIT]] as const) {
    for (const count of [1, max]) {
      assertEquals(readOpOptions("f", { [name]: count }).spec, { [name]: count });
    }
    for (const value of [0, max + 1, 1.5, "3", null, true, [3]]) {
      assertEquals(
        refusal({ [name]: value }).startsWith(`f.options.${name} is an integer from 1 to ${max}`),
        true,
      );
    }
  }
});

Deno.test("a rate stays as it was written, and isolate is a boolean or a process", () => {
  assertEquals(readOpOptions("f", { rate: "10/m" }).spec, { rate: "10/m" });
  for (const rate of ["10", "0/1s", 5, null, "10/2d"]) {
    assertEquals(refusal({ rate }).startsWith("f.options.rate: a rate is a number of"), true);
  }
  assertEquals(readOpOptions("f", { isolate: true }).spec, { isolate: true });
  assertEquals(readOpOptions("f", { isolate: "process" }).spec, { isolate: "process" });
  assertEquals(refusal({ isolate: 1 }), 'f.options.isolate is true, false or "process"; this is 1');
  assertEquals(
    refusal({ isolate: null }),
    'f.options.isolate is true, false or "process"; this is null',
  );
});

Deno.test("permissions are none, or lists and true by their names", () => {
  const read = (permissions: unknown) => readOpOptions("f", { permissions }).permissions;
  assertEquals(read("none"), {});
  assertEquals(read({}), {});
  assertEquals(read({ net: [], read: false, env: undefined }), {});
  assertEquals(read({ net: ["a.test"], sys: true, ffi: true }), {
    net: ["a.test"],
    sys: true,
    ffi: true,
  });
  for (const permissions of ["all", null, true, [], ["net"], CIRCLE.x ?? 5]) {
    assertEquals(refusal({ permissions }).startsWith('f.options.permissions is "none" or'), true);
  }
  assertEquals(refusal({ permissions: { hrtime: true } }).includes('has no "hrtime"'), true);
  for (const net of ["a.test", 5, [5], null, {}, CIRCLE]) {
    assertEquals(
      refusal({ permissions: { net } }).startsWith(
        "f.options.permissions.net is true or a list of strings",
      ),
      true,
    );
  }
  assertEquals(
    refusal({ permissions: { ffi: ["x.so"] } }).startsWith("f.options.permissions.ffi is true"),
    true,
  );
});
