/** Claims about what a server knows of its leader. */

import { assertEquals } from "@std/assert";
import { Roster } from "../../../../server/cluster/roster.ts";
import type { ServerInfo } from "../../../../server/engine/journaled/shared_store.ts";

const other: ServerInfo = {
  id: "other",
  name: "other",
  machine: "there",
  address: "10.0.0.2:5000",
  version: "1",
  pid: 1,
  startedAt: 0,
  isDraining: false,
  certificate: "abcd",
};
const leader = { id: other.id, address: other.address, epoch: 3 };

Deno.test("no client goes to a leader of which it is unknown whether it speaks TLS", () => {
  const roster = new Roster("me");
  roster.see({ servers: [], leader, now: 0 });
  assertEquals(roster.leader, undefined);
  roster.see({ servers: [other], leader, now: 1 });
  assertEquals(roster.leader?.certificate, "abcd");
});

Deno.test("the certificate of a leader is known after its own beats have failed", () => {
  const roster = new Roster("me");
  roster.see({ servers: [other], leader, now: 0 });
  roster.see({ servers: [], leader: { ...leader, epoch: 4 }, now: 1 });
  assertEquals([roster.leader?.epoch, roster.leader?.certificate], [4, "abcd"]);
});
