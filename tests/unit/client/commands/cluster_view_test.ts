/** What operators see of a cluster: the tables of `sd status`, the lines of `sd top`, the check of `sd doctor`. */

import { assert, assertEquals } from "@std/assert";
import { checkCluster } from "../../../../client/commands/doctor/doctor_server.ts";
import { statusTable } from "../../../../client/commands/status.ts";
import { screenLines } from "../../../../client/commands/top/screen.ts";
import type { ServerStats, ServerView } from "../../../../protocol/task.ts";
import { serversInOrder } from "../../../../server/api/views.ts";

const NOW = "2030-01-31T08:00:00.000Z";

function server(name: string, more: Partial<ServerView> = {}): ServerView {
  return {
    name,
    address: `10.0.0.${name.charCodeAt(0)}:5000`,
    machine: `vm-${name}`,
    version: "1.2.3",
    pid: 7,
    role: "follows",
    started_at: "2030-01-31T06:00:00.000Z",
    ...more,
  };
}

const A = server("a"), B = server("b", { role: "leads" }), C = server("c", { draining: true });

function stats(more: Partial<ServerStats> = {}): ServerStats {
  return {
    version: "1.2.3",
    protocol: 1,
    pid: 7,
    uptime_ms: 90_000,
    now: NOW,
    engine: "postgres",
    tasks: {
      queued: 0,
      delayed: 0,
      running: 1,
      completed: 0,
      failed: 0,
      cancelled: 0,
      expired: 0,
    },
    totals: { submitted: 1, finished: 0 },
    paused: [],
    workers: { pools: 2, workers: 6, running: 1 },
    ops: [],
    pools: [
      { pid: 20, machine: "vm-a", workers: 2, held: 0, ops: [] },
      { pid: 30, machine: "vm-w", workers: 4, held: 1, ops: [{ op: "resize", held: 1 }] },
    ],
    connections: 1,
    standstills: 0,
    ...more,
  };
}

Deno.test("sd status lists the servers of a cluster and the worker processes with their machines", () => {
  const text = statusTable("10.0.0.98:5000", stats({ servers: serversInOrder([C, A, B]) }));
  const lines = text.split("\n");
  const at = lines.findIndex((line) => line.startsWith("SERVER"));
  assertEquals(lines.slice(at, at + 4).map((line) => line.split(/  +/).slice(0, 4)), [
    ["SERVER", "ROLE", "ADDRESS", "MACHINE"],
    ["b", "leads", "10.0.0.98:5000", "vm-b"],
    ["a", "follows", "10.0.0.97:5000", "vm-a"],
    ["c", "follows, stopping", "10.0.0.99:5000", "vm-c"],
  ]);
  assert(lines.some((line) => /^vm-w +30 +4 +1$/.test(line)), text);
});

Deno.test("sd status of a server alone, with workers on its machine only, has neither table", () => {
  const pools = [{ pid: 20, machine: "vm-a", workers: 2, held: 0, ops: [] }];
  const text = statusTable("127.0.0.1:5000", stats({ pools }));
  assertEquals(text.match(/SERVER |POOL ON/g), null);
});

Deno.test("sd top shows who leads, and the machines of worker processes if there are several", () => {
  const servers = serversInOrder([A, B, C]);
  const lines = screenLines(
    {
      snapshot: { stats: stats({ servers }), rates: undefined, tasks: [], failures: [] },
      server: "10.0.0.98:5000",
      mode: { name: "list" },
      filter: "",
      selected: 0,
      notice: "",
      lost: undefined,
    },
    { rows: 40, columns: 100 },
  ).map(({ text }) => text);
  assert(
    lines.some((text) => text.trimEnd() === "3 servers  b leads, a follows, c stops"),
    lines.join("\n"),
  );
  assert(lines.some((text) => text.startsWith("pool 30 on vm-w  4 workers")), lines.join("\n"));
});

Deno.test("sd doctor warns of a cluster without a leader, without a standby, of two releases, on one machine", () => {
  const verdicts = [
    undefined,
    [A, C],
    [B],
    [B, C],
    [B, server("a", { version: "1.2.2" })],
    [B, server("a", { machine: "vm-b" })],
    [A, B],
  ].map((servers) => {
    const [check] = checkCluster(servers ? { servers } : {});
    return check && `${check.verdict} ${check.message}`;
  });
  assertEquals(verdicts.map((text) => text?.replace(/^(ok|warning) /, "$1: ")), [
    undefined,
    "warning: 2 servers, and none leads at this moment",
    "warning: 1 server; b leads, and no other server can take over",
    "warning: 2 servers; b leads, and no other server can take over",
    "warning: 2 servers; b leads; the releases differ: b 1.2.3, a 1.2.2",
    "warning: 2 servers; b leads, and all are on vm-b: they fail with it",
    "ok: 2 servers; b leads",
  ]);
});
