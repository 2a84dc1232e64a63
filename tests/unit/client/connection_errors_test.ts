/** The cures of errors of a connection. */

import { assertEquals } from "@std/assert";
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
