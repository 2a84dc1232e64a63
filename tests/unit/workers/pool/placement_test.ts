/** Which worker gives way to one of another profile; and the lines that wait for each. */

import { awake } from "../../../../net/awake_clock.ts";
import { assertEquals } from "@std/assert";
import { leasedTaskLine } from "../../../../protocol/work_message.ts";
import { Backlogs } from "../../../../workers/pool/backlogs.ts";
import type { Profile } from "../../../../workers/pool/profile.ts";
import { Placement, type Seat } from "../../../../workers/pool/placement.ts";

const BASE: Profile = { permissions: { net: true }, isolate: false };
const NARROW: Profile = { permissions: {}, isolate: false };
const FRESH: Profile = { permissions: { net: true }, isolate: true };

function backlogs(...ops: string[]): Backlogs {
  const profiles = new Map([["narrow", NARROW], ["fresh", FRESH]]);
  const made = new Backlogs({
    base: BASE,
    hasSpecial: true,
    profileOf: (op) => profiles.get(op) ?? BASE,
  });
  made.push(ops.map(lineOf));
  return made;
}

function lineOf(op: string, lease = 1): string {
  return leasedTaskLine(lease, { attempt: 1, timeoutMs: 1, id: "i", payload: `{"op":"${op}"}` });
}

function seat(profile: Profile, state: "idle" | "busy" | "loading" | "fresh"): Seat {
  return {
    profile,
    isReady: state !== "loading",
    isIdle: state === "idle" || state === "fresh",
    isUsed: state === "idle" || state === "busy",
  };
}

Deno.test("lines wait by the profiles of their ops, each in the order in which they came", () => {
  const lines = backlogs();
  lines.push([lineOf("a", 1), lineOf("narrow", 2), lineOf("b", 3), lineOf("narrow", 4)]);
  assertEquals([lines.size, lines.sizeOf(BASE), lines.sizeOf(NARROW)], [4, 2, 2]);
  assertEquals(lines.take(NARROW, 1), [lineOf("narrow", 2)]);
  lines.putBack([lineOf("narrow", 2), lineOf("c", 5)]);
  assertEquals(lines.take(BASE, 3), [lineOf("c", 5), lineOf("a", 1), lineOf("b", 3)]);
  assertEquals(lines.lines(), [lineOf("narrow", 2), lineOf("narrow", 4)]);
  assertEquals(lines.takeLast(5), [lineOf("narrow", 2), lineOf("narrow", 4)]);
  assertEquals(lines.size, 0);
});

Deno.test("an idle worker is replaced if no task waits for its own profile", () => {
  const placement = new Placement(backlogs("narrow"));
  const idle = seat(BASE, "idle");
  assertEquals(placement.next([seat(BASE, "busy"), idle]), { seat: idle, profile: NARROW });
  assertEquals(placement.next([seat(BASE, "busy")]), undefined);
  const waiting = new Placement(backlogs("narrow", "a"));
  assertEquals(waiting.next([seat(BASE, "idle"), seat(FRESH, "busy")]), undefined);
});

Deno.test("a profile that has a worker with room, or one on its way, gets no other", () => {
  const placement = new Placement(backlogs("narrow"));
  assertEquals(placement.next([seat(BASE, "idle"), seat(NARROW, "loading")]), undefined);
  assertEquals(placement.next([seat(BASE, "idle"), seat(NARROW, "idle")]), undefined);
  const idle = seat(BASE, "idle");
  assertEquals(placement.next([idle, seat(NARROW, "busy")]), { seat: idle, profile: NARROW });
});

Deno.test("after a while a profile without any worker is owed the first that is idle", () => {
  const lines = backlogs("narrow", "a", "a");
  const placement = new Placement(lines);
  const seats = [seat(BASE, "busy"), seat(BASE, "busy")];
  const now = awake.now();
  placement.look(seats, now);
  assertEquals(placement.isOwing, false);
  placement.look(seats, now + 1000);
  assertEquals(placement.isOwing, true);
  // It was started for the tasks of its own profile, and has done none of them.
  assertEquals(placement.next([seats[0]!, seat(BASE, "fresh")]), undefined);
  const idle = seat(BASE, "idle");
  assertEquals(placement.next([seats[0]!, idle]), { seat: idle, profile: NARROW });
  assertEquals(placement.isOwing, false);
  placement.look([seats[0]!, seat(NARROW, "loading")], now + 1000);
  assertEquals(placement.isOwing, false);
});
