/** That nothing is acknowledged before it is synced, shown by the system calls of a real server. */

import { assert, assertEquals } from "@std/assert";
import { newSeed } from "../fuzz/random.ts";
import { needing } from "../kit/needs.ts";
import { ackProof, canTrace } from "./ack_proof.ts";
import { AckTrace } from "./ack_trace.ts";

/** With `SD_LONG=1` as many as the promise names. */
const TASKS = Deno.env.get("SD_LONG") ? 10_000 : 1000;
const tracing = needing(
  "Linux, strace, and leave to trace",
  Deno.build.os === "linux" && await canTrace(),
);

Deno.test({
  ...tracing(`${TASKS} of ${TASKS} acknowledgements and ends left after the sync of their commit`),
  async fn() {
    const seed = newSeed();
    const verdict = await ackProof({ seed, tasks: TASKS, durability: "full" });
    const { acknowledged, acknowledgedSafely, ended, endedSafely, syncs, examples } = verdict;
    assertEquals(examples, [], `seed ${seed}`);
    assertEquals([acknowledged, acknowledgedSafely], [TASKS, TASKS]);
    assertEquals([ended, endedSafely], [TASKS, TASKS]);
    assert(syncs > 1, `${syncs} syncs`);
  },
});

Deno.test({
  ...tracing("the proof sees that --durability normal does not sync before it acknowledges"),
  async fn() {
    const verdict = await ackProof({ seed: 1, tasks: 200, durability: "normal" });
    assertEquals([verdict.acknowledged, verdict.ended], [200, 200]);
    assert(verdict.acknowledgedSafely < 100, JSON.stringify(verdict));
  },
});

const hex = (text: string) =>
  [...text].map((char) => "\\x" + char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
const WAL = `3<${hex("/tmp/sd.db-wal")}>`;
const frame = (text: string, isCommit: boolean) => {
  const header = `\0\0\0\x01\0\0\0${isCommit ? "\x02" : "\0"}${"s".repeat(16)}`;
  return [header, text].map((data) =>
    `7 pwrite64(${WAL}, "${hex(data)}", ${data.length}, 0) = ${data.length}`
  );
};
const sync = `7 fdatasync(${WAL})        = 0`;
const ACK = '{"task_id":"a","status":"queued","ref":"mark-1-"}\n';
const send = (text: string, written = text.length) =>
  `8 sendto(9<${hex("socket:[5]")}>, "${hex(text)}", ${text.length}, 0, NULL, 0) = ${written}`;

/** How many of one acknowledgement the trace shows to be safe. */
function safe(...lines: string[]): number {
  const trace = new AckTrace("/tmp/sd.db-wal");
  for (const line of lines) trace.push(line);
  assertEquals(trace.verdict.acknowledged, 1);
  return trace.verdict.acknowledgedSafely;
}

Deno.test("the proof asks for page, commit, sync and reply in this order", () => {
  const page = frame('"ref":"mark-1-"', false);
  const commit = frame("index", true);
  assertEquals(safe(...page, ...commit, sync, send(ACK)), 1);
  assertEquals(safe(send(ACK)), 0);
  assertEquals(safe(...page, ...commit, send(ACK), sync), 0);
  assertEquals(safe(...page, sync, ...commit, send(ACK)), 0);
  assertEquals(safe(sync, ...page, ...commit, send(ACK)), 0);
  const other = sync.replace(hex("sd.db"), hex("xy.db"));
  assertEquals(safe(...page, ...commit, other, send(ACK)), 0);
  assertEquals(safe(...page, ...commit, sync.replace("= 0", "= -1 EIO (error)"), send(ACK)), 0);
});

Deno.test("the proof knows when a call began and ended while others went on", () => {
  const write = [...frame('"ref":"mark-1-"', true)];
  const begun = `7 fdatasync(${WAL} <unfinished ...>`;
  const ended = "7 <... fdatasync resumed>) = 0";
  assertEquals(safe(...write, begun, ended, send(ACK)), 1);
  assertEquals(safe(...write, begun, send(ACK), ended), 0);
  const other = begun.replace("7", "6");
  assertEquals(safe(other, ...write, ended.replace("7", "6"), send(ACK)), 0);
  const sending = send(ACK).replace(/ = \d+$/, "").replace(/\)$/, " <unfinished ...>");
  const resumed = `8 <... sendto resumed>) = ${ACK.length}`;
  assertEquals(safe(...write, begun, sending, ended, resumed), 0);
  assertEquals(safe(...write, begun, ended, sending, resumed), 1);
  // The first half of the line had left before the sync.
  assertEquals(safe(...write, send(ACK, 10), sync, send(ACK.slice(10))), 0);
});
