/** The cures of errors of a connection. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { cannotReach } from "../../../client/connection/connection_errors.ts";

Deno.test("an unknown name of a server is answered with a cure that fits it", () => {
  for (
    const reason of [
      "failed to lookup address information: Name or service not known",
      "getaddrinfo ENOTFOUND nowhere",
      "getaddrinfo EAI_AGAIN nowhere",
    ]
  ) {
    const { message, hint } = cannotReach("nowhere:5000", new Error(reason));
    assertEquals(message, `cannot reach nowhere:5000: ${reason}`);
    assertEquals(hint, "correct the name of the server, or use its address");
  }
});

Deno.test("a server that accepts and says nothing is there: its log, or its load balancer, has the reason", () => {
  assertStringIncludes(cannotReach("a:1", new Error("it does not answer")).hint!, "see the log");
  assertStringIncludes(
    cannotReach("a:1", new Error("unexpected end of file")).hint!,
    "load balancer",
  );
});
