/** Which errors are the loss of a connection, whichever part of the runtime made them. */

import { assertEquals } from "@std/assert";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { isLostConnection } from "../../../net/lost_connection.ts";

Deno.test("a lost socket of Node is a lost connection, also in other words", async () => {
  const server = createServer((socket) => socket.resetAndDestroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const lost = Promise.withResolvers<Error>();
  socket.on("error", lost.resolve);
  const closed = new Promise((resolve) => socket.on("close", resolve));
  // The reset can come before the first write, or after it.
  const timer = setInterval(() => socket.write("x"), 5);
  const error = await lost.promise;
  clearInterval(timer);
  await closed;
  server.close();
  await once(server, "close");
  assertEquals(isLostConnection(error), true, String(error));
  assertEquals(isLostConnection(new Error("broken pipe", { cause: error })), true);
});

Deno.test("an error of sd itself is no lost connection", () => {
  assertEquals(isLostConnection(new TypeError("undefined is not a function")), false);
  assertEquals(isLostConnection(new Error("a reason", { cause: new RangeError("a bug") })), false);
  assertEquals(isLostConnection("text"), false);
});
