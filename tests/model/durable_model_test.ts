/** What was told stays true, whenever the server dies. */

import { assert, assertThrows } from "@std/assert";
import { exploreDurable } from "./durable_model.ts";

Deno.test("whenever the server dies, whatever clients were told of a task stays true", () => {
  const states = exploreDurable();
  assert(states > 50, `${states} states`);
});

Deno.test("a server that tells its clients before the commit is found out by the model", () => {
  assertThrows(() => exploreDurable({ tellsEarly: true }), Error, "not on disk");
});

Deno.test("a server that writes runs down is found out by the model", () => {
  assertThrows(() => exploreDurable({ keepsRuns: true }), Error, "runs on disk");
});
