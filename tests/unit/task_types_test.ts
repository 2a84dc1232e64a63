/** The types that `sd init` writes say what task files really find. */
/// <reference path="../../examples/starter/sd.d.ts" />

import { assertEquals } from "@std/assert";
import type { TaskPermissions as RealPermissions } from "../../protocol/pool_start.ts";
import { TaskContext as RealContext } from "../../workers/ops/context.ts";
import { readOpOptions } from "../../workers/ops/op_options.ts";
import { readSchema } from "../../workers/ops/schema.ts";
import { TaskError as RealError } from "../../workers/ops/handler.ts";

/** Compiles where `From` may stand for `To`. */
function fits<From extends To, To>(): void {}

Deno.test("the declared context has what the real one has, and nothing else", () => {
  fits<RealContext, Omit<TaskContext, "log">>();
  fits<TaskContext, Pick<RealContext, keyof RealContext>>();
  const real = Object.getOwnPropertyNames(RealContext.prototype)
    .filter((name) => name !== "constructor" && name !== "log").sort();
  const declared = [
    "after",
    "attempt",
    "cancelled",
    "id",
    "progress",
    "signal",
  ] satisfies (keyof TaskContext)[];
  assertEquals(real, declared);
});

Deno.test("the declared TaskError is the real one", () => {
  fits<typeof RealError, typeof TaskError>();
  fits<typeof TaskError, typeof RealError>();
  const { name, retry } = new RealError("x", { retry: false });
  assertEquals([name, retry], ["TaskError", false]);
});

Deno.test("the declared options are those that are read, with the values that they may have", () => {
  const options: Required<TaskOptions> = {
    timeout: "2m",
    attempts: 3,
    backoff: 250,
    expires: "1.5h",
    limit: 2,
    rate: "10/1m",
    schema: {
      "~standard": { version: 1, vendor: "test", validate: (args) => ({ value: args }) },
    },
    permissions: { net: ["a.test"], read: true, write: false, ffi: true },
    isolate: true,
  };
  const { spec, permissions } = readOpOptions("op", options);
  assertEquals(spec, {
    timeout: 120_000,
    attempts: 3,
    backoff: 250,
    expires: 5_400_000,
    limit: 2,
    rate: "10/1m",
    isolate: true,
  });
  assertEquals(permissions, { net: ["a.test"], read: true, ffi: true });
  for (const rate of ["10/m", "1/500ms", "3/2h"] satisfies TaskOptions["rate"][]) {
    assertEquals(readOpOptions("op", { rate }).spec, { rate });
  }
  fits<RealPermissions, TaskPermissions>();
  fits<keyof TaskPermissions, keyof RealPermissions>();
});

Deno.test("a schema of the declared type is one that is taken", async () => {
  const schema: TaskSchema<{ n: number }> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (args) =>
        typeof (args as { n: unknown }).n === "number"
          ? Promise.resolve({ value: { n: 1 } })
          : { issues: [{ message: "a number", path: ["list", 0, { key: "n" }] }] },
    },
  };
  const { spec, check } = readSchema("op", schema);
  assertEquals(spec, { vendor: "test" });
  assertEquals(await check({ n: 5 }), { args: { n: 1 } });
  assertEquals(await check({}), { fault: { path: "list[0].n", message: "a number" } });
});
