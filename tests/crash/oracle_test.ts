/** The oracle of the crash runs itself: it must see every kind of loss and untruth, and bear the truth. */

import { assert, assertEquals } from "@std/assert";
import type { TaskView } from "../../protocol/task.ts";
import { Random } from "../fuzz/random.ts";
import { Book } from "./book.ts";
import type { End } from "./ending.ts";
import { judge } from "./oracle.ts";
import { makePlan } from "./plan.ts";
import type { PlannedTask } from "./planned_task.ts";

const AT = "2026-01-01T00:00:00.000Z";
const LATER = "2026-01-01T00:00:00.500Z";

const SQUARE: PlannedTask = {
  serial: 3,
  op: "square",
  args: { n: 3 },
  options: { id: "a" },
  ending: { is: "completes", result: 9 },
};
const FAILING: PlannedTask = {
  serial: 4,
  op: "square",
  args: { n: "x-mark-4-" },
  options: { id: "b", attempts: 2 },
  ending: { is: "fails", mark: "x-mark-4-" },
};
/** With an id that the server makes. */
const NAMELESS: PlannedTask = { ...SQUARE, options: {} };

const NINE = { status: "completed", result: 9 } as const;
const FAILED = {
  status: "failed",
  error: { code: "task_error", message: "got x-mark-4-" },
  attempt: 2,
} as const;

function view(task_id: string, end: Partial<TaskView>): TaskView {
  return {
    task_id,
    op: "square",
    status: "completed",
    priority: 0,
    attempt: 1,
    attempts: 1,
    created_at: AT,
    started_at: AT,
    finished_at: AT,
    ...end,
  } as TaskView;
}

/** A book in which `planned` was sent and acknowledged, and `ends` were replied. */
function bookOf(planned: PlannedTask, ...ends: End[]): Book {
  const book = new Book();
  const account = book.account(planned, 0);
  account.sent = true;
  account.acknowledge(planned.options.id ?? "made", book.faults);
  for (const end of ends) book.observe(account, end);
  return book;
}

function verdict(book: Book, ...views: TaskView[]): string[] {
  judge(book, views);
  return book.faults.lines().filter((line) => line.includes(" × "));
}

Deno.test("the oracle finds nothing wrong with what is right", () => {
  assertEquals(verdict(bookOf(SQUARE, NINE, NINE), view("a", NINE)), []);
  assertEquals(verdict(bookOf(FAILING, FAILED), view("b", FAILED)), []);
  const cancelled = bookOf(SQUARE);
  cancelled.accounts.get(3)!.cancelAsked = true;
  assertEquals(verdict(cancelled, view("a", { status: "cancelled" })), []);
});

Deno.test("the oracle sees each kind of loss and untruth", () => {
  assertEquals(verdict(bookOf(SQUARE)), ["1 × lost"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", { status: "queued" })), ["1 × lost"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", NINE), view("z", NINE)), ["1 × invented"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", NINE), view("a", NINE)), ["1 × invented"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", { result: 8 })), ["1 × wrong result"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", { status: "cancelled" })), ["1 × wrong end"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", { status: "expired" })), ["1 × wrong end"]);
  assertEquals(verdict(bookOf(SQUARE), view("a", { ...NINE, op: "echo" })), ["1 × wrong client"]);
  assertEquals(verdict(bookOf(FAILING), view("b", { ...FAILED, attempt: 1 })), ["1 × wrong end"]);
  assertEquals(verdict(bookOf(FAILING, FAILED), view("b", { ...NINE })), [
    "1 × wrong result",
    "1 × two ends",
  ]);
  const undone = bookOf(SQUARE);
  undone.accounts.get(3)!.cancelAsked = true;
  undone.observe(undone.accounts.get(3)!, { status: "cancelled" });
  assertEquals(verdict(undone, view("a", NINE)), ["1 × cancel undone"]);
});

Deno.test("the oracle knows what was sent and never acknowledged, once", () => {
  const sent = () => {
    const book = new Book();
    book.account(NAMELESS, 0).sent = true;
    return book;
  };
  assertEquals(verdict(sent()), []);
  assertEquals(verdict(sent(), view("u", NINE)), []);
  assertEquals(verdict(sent(), view("u", NINE), view("v", NINE)), ["1 × invented"]);
  assertEquals(verdict(sent(), view("u", { status: "expired" })), ["1 × invented"]);
  const refused = sent();
  refused.accounts.get(3)!.refused = "storage_full";
  assertEquals(verdict(refused, view("u", NINE)), ["1 × refused but kept"]);
});

Deno.test("the oracle sees a key over its limit and a task before its turn", () => {
  const book = new Book();
  for (const serial of [3, 4]) {
    const options = { id: `k${serial}`, key: "k", limit: 1 };
    const account = book.account({ ...SQUARE, serial, options }, 0);
    account.sent = true;
  }
  const both = ["k3", "k4"].map((id) => view(id, { ...NINE, finished_at: LATER }));
  assertEquals(verdict(book, ...both), ["1 × wrong order"]);

  const child = { ...SQUARE, serial: 5, options: { id: "child", after: ["a"] } };
  const early = bookOf(SQUARE);
  early.account(child, 0).sent = true;
  const parent = view("a", { ...NINE, finished_at: LATER });
  assertEquals(verdict(early, parent, view("child", NINE)), ["1 × wrong order"]);
});

Deno.test("a seed makes the same plan of a crash run again", () => {
  const plan = () => [
    ...makePlan({
      random: new Random(11),
      rounds: 5,
      clients: 3,
      kills: ["server", "pool", "start-up"],
      name: "t",
    }),
  ];
  const text = JSON.stringify(plan());
  assertEquals(JSON.stringify(plan()), text);
  for (const part of ['"after"', '"limit"', '"expires"', '"delay"', '"attempts"', '"retry"']) {
    assert(text.includes(part), `no ${part} in it`);
  }
});
