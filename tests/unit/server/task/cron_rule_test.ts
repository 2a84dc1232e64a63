/** When recurring tasks are due: expressions, zones, the hours that come twice or never, policies. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { MAX_CATCH_UP, MAX_CRON_CHARS } from "../../../../protocol/limits.ts";
import { SdError } from "../../../../protocol/errors.ts";
import type { CatchUp } from "../../../../protocol/task.ts";
import { CronRule, readCronRule } from "../../../../server/task/cron_rule.ts";

const ms = (text: string) => Date.parse(text);

/** The first `count` times after `from`, as text without the zero seconds. */
function times(rule: CronRule, from: string, count: number): string[] {
  const found: string[] = [];
  for (let at = rule.nextAfter(ms(from)); at !== undefined && found.length < count;) {
    found.push(new Date(at).toISOString().replace(":00.000Z", "Z"));
    at = rule.nextAfter(at);
  }
  return found;
}

const at = (cron: string, tz = "UTC", catchUp: CatchUp = "all") => new CronRule(cron, tz, catchUp);

Deno.test("a time of the day is that of the zone, in summer and winter", () => {
  const rome = at("0 2 * * *", "Europe/Rome");
  assertEquals(times(rome, "2026-01-10T12:00:00Z", 2), ["2026-01-11T01:00Z", "2026-01-12T01:00Z"]);
  assertEquals(times(rome, "2026-07-10T12:00:00Z", 2), ["2026-07-11T00:00Z", "2026-07-12T00:00Z"]);
  assertEquals(times(at("0 2 * * *"), "2026-07-10T12:00:00Z", 1), ["2026-07-11T02:00Z"]);
});

Deno.test("a time that summer time leaves out runs once, right after the gap", () => {
  assertEquals(times(at("30 2 * * *", "Europe/Rome"), "2026-03-28T00:00:00Z", 3), [
    "2026-03-28T01:30Z",
    "2026-03-29T01:00Z",
    "2026-03-30T00:30Z",
  ]);
  assertEquals(times(at("30 2 * * *", "America/New_York"), "2026-03-07T00:00:00Z", 3), [
    "2026-03-07T07:30Z",
    "2026-03-08T07:00Z",
    "2026-03-09T06:30Z",
  ]);
  assertEquals(times(at("0,30 2,3 * * *", "Europe/Rome"), "2026-03-29T00:00:00Z", 3), [
    "2026-03-29T01:00Z",
    "2026-03-29T01:30Z",
    "2026-03-30T00:00Z",
  ]);
});

Deno.test("a time that comes twice runs once, the first time", () => {
  assertEquals(times(at("30 2 * * *", "Europe/Rome"), "2026-10-24T12:00:00Z", 2), [
    "2026-10-25T00:30Z",
    "2026-10-26T01:30Z",
  ]);
  assertEquals(times(at("30 1 * * *", "America/New_York"), "2026-10-31T12:00:00Z", 2), [
    "2026-11-01T05:30Z",
    "2026-11-02T06:30Z",
  ]);
  // Nor the second time, for who looks between the two.
  assertEquals(times(at("0,30 2 * * *", "Europe/Rome"), "2026-10-25T00:45:00Z", 1), [
    "2026-10-26T01:00Z",
  ]);
});

Deno.test("every five minutes is every five minutes, whatever the clocks on the wall do", () => {
  const days = [
    ["Europe/Rome", "2026-03-29"],
    ["Europe/Rome", "2026-10-25"],
    ["America/New_York", "2026-03-08"],
    ["America/New_York", "2026-11-01"],
  ] as const;
  for (const [tz, day] of days) {
    const rule = at("*/5 * * * *", tz);
    let time = ms(`${day}T00:00:00Z`);
    for (let count = 0; count < 288; count++) {
      assertEquals(rule.nextAfter(time), time + 300_000, `${tz} ${new Date(time).toISOString()}`);
      time += 300_000;
    }
  }
});

Deno.test("seen from any moment, backwards or forwards, the times are the same ones", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (below: number) => (state = (state * 48_271 + 11) % 2_147_483_647) % below;
  const zones = ["Europe/Rome", "America/New_York", "Australia/Lord_Howe", "America/Santiago"];
  const expressions = ["30 2 * * *", "*/20 1-3 * * *", "0 * * * *", "0 0 * * *", "15,45 1 * * SUN"];
  const starts = [
    "2026-03-06",
    "2026-03-27",
    "2026-04-03",
    "2026-09-04",
    "2026-10-02",
    "2026-10-23",
  ];
  for (let round = 0; round < 300; round++) {
    const tz = zones[random(zones.length)]!;
    const cron = expressions[random(expressions.length)]!;
    const start = ms(`${starts[random(starts.length)]}T00:00:00Z`);
    const end = start + 4 * 86_400_000;
    const rule = at(cron, tz);
    const all: number[] = [];
    for (let time = rule.nextAfter(start); time !== undefined && time <= end;) {
      all.push(time);
      time = rule.nextAfter(time);
    }
    const split = start + random(4 * 86_400) * 1000 + random(1000);
    const where = `seed ${seed}: ${cron} ${tz} ${new Date(split).toISOString()}`;
    const due = (after: number, until: number) => rule.due({ after, until, missedBefore: 0 }).times;
    assertEquals([...due(start, split), ...due(split, end)], all, where);
    assertEquals(
      at(cron, tz).nextAfter(split),
      all.find((time) => time > split) ?? rule.nextAfter(end),
      where,
    );
  }
});

Deno.test("times that nobody missed are due one by one, whatever the policy", () => {
  for (const catchUp of ["skip", "once", "all"] as const) {
    const due = at("* * * * * *", "UTC", catchUp).due({
      after: 1000,
      until: 4500,
      missedBefore: 0,
    });
    assertEquals(due, { times: [2000, 3000, 4000], missed: false });
    assertEquals(at("0 2 * * *").due({ after: 0, until: 5000, missedBefore: 5000 }).times, []);
  }
});

Deno.test("missed times are left out, gathered in one, or caught up with", () => {
  const span = { after: 0, until: 10_000, missedBefore: 7500 };
  const due = (catchUp: CatchUp) => at("*/2 * * * * *", "UTC", catchUp).due(span);
  assertEquals(due("skip"), { times: [8000, 10_000], missed: true });
  assertEquals(due("once"), { times: [10_000], missed: true });
  assertEquals(due("all"), { times: [2000, 4000, 6000, 8000, 10_000], missed: true });
});

Deno.test("a week of missed seconds is caught up with by the latest thousand", () => {
  const until = ms("2026-01-08T00:00:00Z");
  const span = { after: ms("2026-01-01T00:00:00Z"), until, missedBefore: until };
  const { times } = at("* * * * * *").due(span);
  assertEquals(times.length, MAX_CATCH_UP);
  assertEquals([times[0], times.at(-1)], [until - (MAX_CATCH_UP - 1) * 1000, until]);
});

Deno.test("nothing is due between a time and an earlier one", () => {
  const due = at("* * * * * *").due({ after: 50_000, until: 20_000, missedBefore: 0 });
  assertEquals(due, { times: [], missed: false });
});

Deno.test("what an expression may be", () => {
  const right = [
    "* * * * *",
    " 0\t2  * * * ",
    "*/5 * * * * *",
    "0 9-17 * JAN-JUN MON-FRI",
    "@daily",
    "@HOURLY",
    "0 0 L * *",
    "* * * * *".padEnd(MAX_CRON_CHARS),
  ];
  for (const cron of right) assert(readCronRule({ cron }).nextAfter(0) !== undefined, cron);
  const rule = readCronRule({ cron: "* * * * *" });
  assertEquals([rule.tz, rule.catchUp], ["UTC", "once"]);
});

Deno.test("a wrong expression, zone or policy is refused with what would be right", () => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ cron: "" }, "five fields"],
    [{ cron: "* * * *" }, "five fields"],
    [{ cron: "* * * * * * 2030" }, "five fields"],
    [{ cron: "2030-01-31T08:00:00" }, "five fields"],
    [{ cron: "61 * * * *" }, 'this is "61 * * * *" (Invalid value for minute: 61)'],
    [{ cron: "*/0 * * * *" }, "illegal stepping"],
    [{ cron: "@reboot" }, "@reboot is not supported"],
    [{ cron: "@never" }, "@never"],
    [{ cron: "* * * * *".padEnd(MAX_CRON_CHARS + 1) }, `at most ${MAX_CRON_CHARS} characters`],
    ...[5, null, [], {}, true].map((
      cron,
    ): [Record<string, unknown>, string] => [{ cron }, "five fields"]),
    ...["Mars/Base", "", "+02:00", 5, null, "x".repeat(1e5)].map((
      tz,
    ): [Record<string, unknown>, string] => [
      { cron: "* * * * *", tz },
      "task.tz is the IANA name",
    ]),
    ...["never", "", 1, null, "constructor"].map((catch_up): [Record<string, unknown>, string] => [
      { cron: "* * * * *", catch_up },
      "task.catch_up is one of skip, once, all",
    ]),
  ];
  for (const [options, text] of wrong) {
    const error = assertThrows(() => readCronRule(options), SdError, text);
    assertEquals(error.code, "bad_request");
  }
});

/** The days of a field of crontab(5), read without the product's code: `*`, numbers, ranges, steps, lists. */
function daysOf(field: string, least: number, most: number): Set<number> {
  const days = new Set<number>();
  for (const part of field.split(",")) {
    const [range = "", step = "1"] = part.split("/");
    const [first, last] = range === "*" ? [least, most] : range.split("-").map(Number);
    for (let day = first!; day <= (last ?? first!); day += Number(step)) days.add(day);
  }
  return days;
}

Deno.test("days of the month and weekdays go together as crontab(5) says", () => {
  const dom = ["*", "*/2", "*/10", "1", "13", "1,15", "1-7", "10-31/7", "31"];
  const dow = ["*", "*/2", "0", "7", "1", "5-7", "1-5", "0,3", "1-5/2"];
  for (const d of dom) {
    for (const w of dow) {
      const rule = readCronRule({ cron: `0 0 ${d} * ${w}` });
      const [days, weekdays] = [daysOf(d, 1, 31), daysOf(w, 0, 7)];
      const both = d.startsWith("*") || w.startsWith("*");
      const expected: string[] = [];
      for (let at = Date.UTC(2027, 0, 1); at < Date.UTC(2027, 3, 1); at += 86_400_000) {
        const date = new Date(at);
        const isDay = days.has(date.getUTCDate());
        const isWeekday = weekdays.has(date.getUTCDay()) ||
          (date.getUTCDay() === 0 && weekdays.has(7));
        if (both ? isDay && isWeekday : isDay || isWeekday) expected.push(date.toISOString());
      }
      const times: string[] = [];
      for (let at = rule.nextAfter(Date.UTC(2027, 0, 1) - 1); at !== undefined;) {
        if (at >= Date.UTC(2027, 3, 1)) break;
        times.push(new Date(at).toISOString());
        at = rule.nextAfter(at);
      }
      assertEquals(times, expected, `0 0 ${d} * ${w}`);
    }
  }
});
