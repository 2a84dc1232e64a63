/** The times of a server without a leader, and of its clients. */

import { assertLess } from "@std/assert";
import { HELLO_MS } from "../../../../client/connection/steady_connection.ts";
import { HOLD_MS } from "../../../../server/cluster/switchboard.ts";

Deno.test("a client that is held while no server leads learns the reason before it stops waiting", () => {
  assertLess(HOLD_MS, HELLO_MS);
});
