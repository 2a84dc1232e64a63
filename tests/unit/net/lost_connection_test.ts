/** Which errors are the loss of a connection, whichever part of the runtime made them. */

import { assertEquals } from "@std/assert";
import { isLostConnection } from "../../../net/lost_connection.ts";

Deno.test("a lost socket of Node is a lost connection, also in other words", () => {
  for (const code of ["ECONNRESET", "EPIPE"]) {
    // As the sockets of `node:net` make them.
    const error = Object.assign(new Error(`write ${code}`), { code, syscall: "write" });
    assertEquals(isLostConnection(error), true, code);
    assertEquals(isLostConnection(new Error("broken pipe", { cause: error })), true, code);
  }
});

Deno.test("an error of sd itself is no lost connection", () => {
  assertEquals(isLostConnection(new TypeError("undefined is not a function")), false);
  assertEquals(isLostConnection(new Error("a reason", { cause: new RangeError("a bug") })), false);
  assertEquals(isLostConnection("text"), false);
});
