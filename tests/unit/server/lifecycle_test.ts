/** What does not end a server. */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { surviveStrayRejections } from "../../../server/lifecycle.ts";

Deno.test("a rejection that nothing awaits is reported, and ends nothing", async () => {
  const bugs: unknown[] = [];
  using _strays = surviveStrayRejections((reason) => void bugs.push(reason));
  const fault = new TypeError("a stray one");
  void Promise.reject(fault);
  await delay(1);
  assertEquals(bugs, [fault]);
});
