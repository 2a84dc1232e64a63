/** The reads of the engine, as scripts and their answers; see `TaskCalls`. */

import { serialOf } from "../../task/task_id.ts";
import {
  type PageSize,
  type StoredTask,
  StoreError,
  type TaskCalls,
} from "../journaled/task_store.ts";
import type { OutboxRow } from "../outbox.ts";
import { laneText, taskOfText } from "./row_text.ts";
import { AHEAD, FIND, LIST, OUTBOX, PAGE, type Script } from "./script.ts";
import { INDEXED, padded } from "./write_plan.ts";

type ReadName = Exclude<keyof TaskCalls, "write">;
type Ask<Name extends ReadName> = TaskCalls[Name]["ask"];

/** One command, or one script with the arguments behind prefix and token; and how its answer is read. */
export interface Read {
  readonly script?: Script;
  readonly command?: (prefix: string) => (string | number)[];
  readonly args: readonly (string | number)[];
  readonly answer: (reply: unknown) => unknown;
}

/** Most rows that one `list` looks at. */
const MAX_LOOKED_AT = 1000;

/** `report` hears of rows that are not what was written, and are left out. */
export function readOf<Name extends ReadName>(
  name: Name,
  ask: Ask<Name>,
  report: (message: string) => void,
): Read {
  return READS[name](ask, report);
}

const READS: {
  readonly [Name in ReadName]: (ask: Ask<Name>, report: (message: string) => void) => Read;
} = {
  find: ({ ids }) => ({
    script: FIND,
    args: ids.flatMap((id) => [serialOf(id), JSON.stringify(id)]),
    answer: (reply) =>
      triples(reply).map(([ord, row, state], i) => {
        if (ord === "") return null;
        const task = taskOfText(ord, row, state);
        if (task?.id === ids[i]) return task;
        throw new StoreError("damaged", damage(ord));
      }) as (StoredTask | null)[],
  }),
  attachments: ({ kind, ords }) => ({
    args: [],
    command: (prefix) => ords.length === 0 ? ["PING"] : ["HMGET", `${prefix}att:${kind}`, ...ords],
    answer: (reply) =>
      ords.length === 0 ? [] : (reply as (string | null)[]).map((text) => parsed(text)),
  }),
  outbox: ({ after, limit, maxChars }) => ({
    script: OUTBOX,
    args: [after, limit, maxChars],
    answer: (reply) =>
      (reply as string[]).map((text): OutboxRow => {
        const [n, row] = text.split("\n") as [string, string];
        const [route, body] = JSON.parse(row) as [string, string];
        return { n: Number(n), route, body };
      }),
  }),
  lane: (ask, report) => page(`q:${laneText(ask)}`, "score", [`(${ask.seq}`, "+inf"], ask, report),
  due: (ask, report) =>
    page("due", "lex", [`(${padded(Math.max(0, ask.runAt))}${padded(ask.ord)}`, "+"], ask, report),
  waiting: (ask, report) => page("s:2", "score", [`(${ask.ord}`, "+inf"], ask, report),
  expired: (ask, report) => page("expires", "lex", ["-", `(${padded(ask.now + 1)}`], ask, report),
  list: (ask, report) => {
    const { statuses, op, key } = ask;
    const isIndexed = statuses.length > 0 && statuses.every((status) => INDEXED.includes(status));
    return {
      script: LIST,
      args: [
        ask.ord,
        ask.oldestFirst ? "up" : "down",
        ask.limit,
        ask.maxChars,
        [...new Set(statuses)].join(""),
        op === null ? "" : JSON.stringify(op),
        key === null ? "" : JSON.stringify(key),
        ask.createdSince,
        MAX_LOOKED_AT,
        isIndexed ? 1 : 0,
      ],
      answer: (reply) => {
        const [next, ...rows] = reply as string[];
        return {
          tasks: tasksOf(rows, report),
          next: next === "" ? null : Number(next),
        };
      },
    };
  },
  ahead: ({ priority, seq, limit }) => ({
    script: AHEAD,
    args: [priority, seq, limit],
    answer: (reply) => Math.min(Number(reply), limit),
  }),
};

function page(
  index: string,
  kind: "score" | "lex",
  [low, high]: readonly [string, string],
  { limit, maxChars }: PageSize,
  report: (message: string) => void,
): Read {
  return {
    script: PAGE,
    args: [index, kind, low, high, limit, maxChars],
    answer: (reply) => {
      const tasks = tasksOf(reply, report);
      const isLost = tasks.length === 0 && (reply as string[]).length > 0;
      // A page without rows would say that there are no more.
      if (isLost) throw new StoreError("damaged", damage((reply as string[])[0]!));
      return tasks;
    },
  };
}

function tasksOf(reply: unknown, report: (message: string) => void): StoredTask[] {
  const tasks: StoredTask[] = [];
  for (const [ord, row, state] of triples(reply)) {
    const task = taskOfText(ord, row, state);
    if (task) tasks.push(task);
    else report(damage(ord));
  }
  return tasks;
}

function damage(ord: string): string {
  return `the record of task number ${ord} is damaged: it is not what was written`;
}

/** An attachment as it was written; `null` if it cannot be read. */
export function parsed(text: string | null): string | null {
  if (text === null) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}

function triples(reply: unknown): [string, string, string][] {
  const cells = reply as string[];
  return Array.from({ length: cells.length / 3 }, (_, i) => [
    String(cells[i * 3]),
    cells[i * 3 + 1]!,
    cells[i * 3 + 2]!,
  ]);
}
