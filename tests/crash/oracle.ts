/**
 * Judges a run by the clients' own accounts: `views` is everything that the drained server keeps. Pure;
 * what it finds goes to the faults of the book.
 */

import { isFinal, type TaskView } from "../../protocol/task.ts";
import type { Account } from "./account.ts";
import type { Book } from "./book.ts";
import { type End, fingerprint } from "./ending.ts";

export function judge(book: Book, views: readonly TaskView[]): void {
  const { faults } = book;
  const byId = new Map<string, Account>();
  for (const account of book.accounts.values()) {
    if (account.taskId !== undefined && account.sent) byId.set(account.taskId, account);
  }
  const seen = new Set<string>();
  const strangers: TaskView[] = [];
  for (const view of views) {
    if (seen.has(view.task_id)) faults.add("invented", `two records of ${view.task_id}`);
    seen.add(view.task_id);
    const account = byId.get(view.task_id);
    if (account) judgeKnown(book, account, view);
    else strangers.push(view);
  }
  for (const account of byId.values()) {
    if (!seen.has(account.taskId!)) account.missing(faults);
  }
  judgeStrangers(book, strangers);
  judgeOrder(book, byId, new Map(views.map((view) => [view.task_id, view])));
  judgeLimits(book, views, byId);
}

function judgeKnown(book: Book, account: Account, view: TaskView): void {
  const { faults } = book;
  if (account.refused !== undefined && !account.acknowledged) {
    faults.add("refused but kept", `${account.name}: ${account.refused}`);
  }
  if (!isFinal(view.status)) {
    faults.add("lost", `${account.name} is ${view.status} in the end`);
    return;
  }
  if (view.op !== account.planned.op) {
    faults.add("wrong client", `${account.name} is ${JSON.stringify(view)}`);
  }
  book.observe(account, view as End);
  const { expires } = account.planned.options;
  if (view.status === "expired" && expires !== undefined) {
    const lived = Date.parse(view.finished_at ?? "") - Date.parse(view.created_at);
    if (!(lived >= expires)) faults.add("wrong end", `${account.name} expired after ${lived} ms`);
  }
}

/** Records that no client knows: each must be a submit whose acknowledgement never came, and no two the same. */
function judgeStrangers({ accounts, faults }: Book, strangers: readonly TaskView[]): void {
  const open = [...accounts.values()].filter(({ sent, taskId }) => sent && taskId === undefined);
  const byPrint = new Map<string, Account>();
  for (const account of open) {
    const print = fingerprint(account.planned.ending);
    if (print !== undefined) byPrint.set(print, account);
  }
  // Those whose end does not show which they are can only be counted.
  const left = new Map<string, number>();
  for (const { planned: { options, ending } } of open) {
    if (options.expires !== undefined) left.set("expired", (left.get("expired") ?? 0) + 1);
    if (options.after !== undefined) left.set("cancelled", (left.get("cancelled") ?? 0) + 1);
    if (ending.is === "times_out") left.set("failed", (left.get("failed") ?? 0) + 1);
  }
  for (const view of strangers) {
    const print = view.status === "completed"
      ? JSON.stringify(view.result)
      : /[^"\s]*-mark-\d+-/.exec(view.error?.message ?? "")?.[0];
    if (print === undefined) {
      left.set(view.status, (left.get(view.status) ?? 0) - 1);
      if (left.get(view.status)! < 0) faults.add("invented", JSON.stringify(view));
      continue;
    }
    const account = byPrint.get(print);
    byPrint.delete(print);
    if (!account || account.planned.op !== view.op) faults.add("invented", JSON.stringify(view));
    else if (account.refused !== undefined) {
      faults.add("refused but kept", `${account.name}: ${account.refused}`);
    }
  }
}

/** A task with `after` ran after all of its parents had completed. */
function judgeOrder(
  { faults }: Book,
  byId: ReadonlyMap<string, Account>,
  views: ReadonlyMap<string, TaskView>,
): void {
  for (const [id, account] of byId) {
    const view = views.get(id);
    if (view?.status !== "completed" || account.retried) continue;
    for (const parentId of account.planned.options.after ?? []) {
      const parent = views.get(parentId);
      const isBefore = parent?.status === "completed" &&
        Date.parse(parent.finished_at!) <= Date.parse(view.started_at!);
      if (!isBefore) {
        faults.add(
          "wrong order",
          `${account.name}, ${JSON.stringify(view)}, ran before ${
            JSON.stringify(parent)
          } had ended`,
        );
      }
    }
  }
}

/** At no time did more tasks of a key run than its limit; by the last run of each, in whole milliseconds. */
function judgeLimits(
  { faults }: Book,
  views: readonly TaskView[],
  byId: ReadonlyMap<string, Account>,
): void {
  const byKey = new Map<string, { limit: number; moments: [at: number, change: number][] }>();
  for (const view of views) {
    const { key, limit } = byId.get(view.task_id)?.planned.options ?? {};
    if (key === undefined || limit === undefined) continue;
    // Others may have ended long after their last run did.
    if (view.status !== "completed" && view.status !== "failed") continue;
    const [from, to] = [Date.parse(view.started_at!), Date.parse(view.finished_at!)];
    if (!(from < to)) continue;
    const { moments } = byKey.get(key) ?? byKey.set(key, { limit, moments: [] }).get(key)!;
    moments.push([from, 1], [to, -1]);
  }
  for (const [key, { limit, moments }] of byKey) {
    let running = 0;
    let most = 0;
    for (const [, change] of moments.sort(([a, up], [b, down]) => a - b || up - down)) {
      running += change;
      most = Math.max(most, running);
    }
    if (most > limit) {
      faults.add(
        "wrong order",
        `${most} tasks of ${JSON.stringify(key)} ran at a time, not ${limit}`,
      );
    }
  }
}
