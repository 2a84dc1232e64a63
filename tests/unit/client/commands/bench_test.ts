/** The bench must not believe a server: every wrong, missing or second reply is counted. */

import { assert, assertEquals } from "@std/assert";
import { BENCH_OPS, benchOp } from "../../../../client/commands/bench/bench_op.ts";
import {
  BenchSlots,
  type BenchTally,
  LatencySamples,
} from "../../../../client/commands/bench/bench_slots.ts";
import {
  ACKNOWLEDGED,
  INCOMPLETE,
  NUMBER,
  OTHER,
  ReplyScanner,
  RequestBuffer,
  RIGHT,
} from "../../../../client/commands/bench/bench_wire.ts";

const ID = "0193a1c2-7f00-7000-8000-0123456789ab";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function openSlots(left = 100): { slots: BenchSlots; tally: BenchTally } {
  const tally: BenchTally = {
    left,
    until: Infinity,
    finished: 0,
    samples: new LatencySamples(100),
    errors: new Map(),
  };
  return { slots: new BenchSlots({ connections: 3, depth: 4, index: 1, tally }), tally };
}

Deno.test("requests are lines of JSON with number and ref", async () => {
  for (const name of BENCH_OPS) {
    const op = await benchOp(name, { ms: 5, rounds: 2 });
    const refs = [0, 7, 10, 999_999, 94_906_265, 94_906_266, 2 ** 31 - 1];
    const requests = new RequestBuffer(op, refs.length);
    for (const ref of refs) requests.add(ref);
    const lines = decoder.decode(requests.take()).trimEnd().split("\n").map((line) =>
      JSON.parse(line)
    );
    assertEquals(lines.map(({ ref }) => ref), refs);
    assert(lines.every((line) => line.op === name), name);
    if (name === "square") {
      assert(lines.every(({ n }) => Number.isSafeInteger(n * n)), "squares are exact");
      assertEquals(lines[3].n, 999_999);
    }
    if (name === "echo") assertEquals(lines.map(({ data }) => data), refs);
  }
});

Deno.test("the correct result is known for every op", async () => {
  const square = await benchOp("square", { ms: 1, rounds: 1 });
  assertEquals(square.answerOf(square.numberOf(12)), 144);
  const sleep = await benchOp("sleep", { ms: 15, rounds: 1 });
  assertEquals(decoder.decode(sleep.answer), "15");
  // sha256("sd"), and that of its 32 bytes.
  const digest = async (bytes: Uint8Array<ArrayBuffer>) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const twice = await digest(await digest(encoder.encode("sd")));
  const hex = [...twice].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const hash = await benchOp("hash", { ms: 1, rounds: 2 });
  assertEquals(decoder.decode(hash.answer), `"${hex}"`);
});

Deno.test("replies are recognised for every cut of the stream", async () => {
  const scanner = new ReplyScanner(await benchOp("square", { ms: 1, rounds: 1 }));
  const text = `{"task_id":"${ID}","status":"queued","ref":70}\n` +
    `{"task_id":"${ID}","status":"completed","result":9007199136250225,"ref":94906265}\n`;
  const bytes = encoder.encode(text);
  const firstEnd = text.indexOf("\n") + 1;
  // What stands after the cut is left over from an earlier read, and must not be taken for news.
  const stale = encoder.encode(text + text);
  for (let end = 0; end <= bytes.length; end++) {
    const first = scanner.scan(stale, 0, end);
    assertEquals(first, end < firstEnd ? INCOMPLETE : ACKNOWLEDGED, `cut at ${end}`);
    if (first === INCOMPLETE) continue;
    assertEquals([scanner.ref, scanner.next], [70, firstEnd]);
    const second = scanner.scan(stale, firstEnd, end);
    assertEquals(second, end < bytes.length ? INCOMPLETE : NUMBER, `cut at ${end}`);
    if (second === INCOMPLETE) continue;
    assertEquals([scanner.ref, scanner.result, scanner.next], [
      94_906_265,
      9_007_199_136_250_225,
      bytes.length,
    ]);
  }
});

Deno.test("a line of any other form is left to the JSON parser", async () => {
  const scanner = new ReplyScanner(await benchOp("square", { ms: 1, rounds: 1 }));
  const lines = [
    `{"task_id":"${ID}","status":"completed","result":"49","ref":7}`,
    `{"task_id":"${ID}","status":"completed","result":-49,"ref":7}`,
    `{"task_id":"${ID}","status":"completed","result":4.5,"ref":7}`,
    `{"task_id":"${ID}","status":"completed","result":12345678901234567,"ref":7}`,
    `{"task_id":"${ID}","status":"completed","result":49,"ref":"7"}`,
    `{"task_id":"${ID}","status":"completed","result":49,"ref":7} `,
    `{"task_id":"${ID}","status":"completed","result":49}`,
    `{"task_id":"${ID}","status":"cancelled","ref":7}`,
    `{"task_id":"${ID}","status":"delayed","ref":7}`,
    `{"task_id":"a-1","status":"completed","result":49,"ref":7}`,
    `{"error":{"code":"queue_full","message":"${"x".repeat(60)}"},"ref":7}`,
    "",
  ];
  for (const line of lines) {
    const bytes = encoder.encode(`${line}\n`);
    assertEquals(scanner.scan(bytes, 0, bytes.length), OTHER, line);
    assertEquals(scanner.next, bytes.length);
  }
});

Deno.test("a constant result is compared to its last byte", async () => {
  const scanner = new ReplyScanner(await benchOp("sleep", { ms: 15, rounds: 1 }));
  for (const [result, shape] of [["15", RIGHT], ["16", OTHER], ["150", OTHER], ["1", OTHER]]) {
    const line = `{"task_id":"${ID}","status":"completed","result":${result},"ref":7}\n`;
    const bytes = encoder.encode(line);
    assertEquals(scanner.scan(bytes, 0, bytes.length), shape, line);
  }
});

Deno.test("a task with one acknowledgement and one result is no error", () => {
  const { slots, tally } = openSlots();
  const ref = slots.submit(2, 10);
  assertEquals([ref, slots.inFlight], [6, 1]);
  slots.acknowledge(ref);
  assertEquals(slots.finish(ref, true, 12.5), 2);
  assertEquals([slots.inFlight, tally.finished, tally.errors.size], [0, 1, 0]);
  assertEquals(tally.samples.summary([0.5]), { percentiles: [2.5], maxMs: 2.5 });
  assertEquals(slots.submit(2, 13), 18);
});

Deno.test("second, early, foreign and wrong replies are counted by kind", () => {
  const { slots, tally } = openSlots();
  const [a, b, c] = [slots.submit(0, 0), slots.submit(1, 0), slots.submit(2, 0)];
  slots.acknowledge(a);
  slots.acknowledge(a);
  slots.finish(a, true, 1);
  assertEquals(slots.finish(a, true, 1), -1);
  slots.finish(b, true, 1);
  slots.acknowledge(c);
  slots.finish(c, false, 1);
  // The first of the slots that belong to the connection before this one, and the next after it.
  assertEquals(slots.finish(3, true, 1), -1);
  assertEquals(slots.finish(8, true, 1), -1);
  // In a slot of this connection, but never submitted.
  assertEquals(slots.finish(7, true, 1), -1);
  slots.acknowledge(b);
  assertEquals(Object.fromEntries(tally.errors), {
    "acknowledged twice, or never submitted": 2,
    "answered twice, or never submitted": 4,
    "answered before it was acknowledged": 1,
    "wrong result": 1,
  });
  assertEquals([slots.inFlight, tally.finished], [0, 3]);
});

Deno.test("no task is submitted beyond the count or after the time", () => {
  const few = openSlots(1);
  assertEquals([few.slots.submit(0, 0), few.slots.submit(1, 0)], [4, -1]);
  const late = openSlots();
  late.tally.until = 100;
  assertEquals([late.slots.submit(0, 99.9), late.slots.submit(1, 100)], [4, -1]);
});

Deno.test("percentiles are of the whole run after samples were thinned out", () => {
  const samples = new LatencySamples(1000);
  for (let i = 1; i <= 100_000; i++) samples.add(i);
  const { percentiles: [p50 = 0, p99 = 0], maxMs } = samples.summary([0.5, 0.99]);
  assert(Math.abs(p50 - 50_000) < 500, `p50 ${p50}`);
  assert(Math.abs(p99 - 99_000) < 500, `p99 ${p99}`);
  assertEquals(maxMs, 100_000);
  const exact = new LatencySamples(1000);
  for (let i = 1; i <= 100; i++) exact.add(i);
  assertEquals(exact.summary([0.5, 0.99, 1, 0]).percentiles, [50, 99, 100, 1]);
  assertEquals(new LatencySamples(10).summary([0.5]), { percentiles: [0], maxMs: 0 });
});
