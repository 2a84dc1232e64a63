/** Replies stay true, at whatever moment the server dies. */

import { assert, assertThrows } from "@std/assert";
import { exploreDurable } from "./durable_model.ts";

Deno.test("every reply about a task stays true, at whatever moment the server dies", () => {
  const states = exploreDurable();
  assert(states > 50, `${states} states`);
});

Deno.test("the model finds the fault of a server that replies before the commit", () => {
  assertThrows(() => exploreDurable({ tellsEarly: true }), Error, "not on disk");
});

Deno.test("the model finds the fault of a server that stores runs", () => {
  assertThrows(() => exploreDurable({ keepsRuns: true }), Error, "runs on disk");
});
