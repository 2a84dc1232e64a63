/** The screen of `sd top`, from what is known to lines; the keys, from bytes. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readKeys } from "../../../../client/commands/top/terminal.ts";
import { screenLines, type Shown } from "../../../../client/commands/top/screen.ts";
import { ClientError } from "../../../../net/client_error.ts";
import type { Client } from "../../../../client/client.ts";
import { cut, taskTable } from "../../../../client/commands/base/table.ts";
import { TopApp } from "../../../../client/commands/top/top_app.ts";
import { compact, fit, tableLines } from "../../../../client/commands/top/text.ts";
import type { ServerStats, TaskView } from "../../../../protocol/task.ts";

const NOW = "2030-01-31T08:00:00.000Z";

const STATS: ServerStats = {
  version: "1.2.3",
  protocol: 1,
  pid: 7,
  uptime_ms: 90_000,
  now: NOW,
  engine: "sqlite",
  tasks: {
    queued: 12_345,
    delayed: 0,
    running: 2,
    completed: 1_234_567,
    failed: 1,
    cancelled: 0,
    expired: 0,
  },
  totals: { submitted: 10, finished: 5 },
  paused: [],
  workers: { pools: 1, workers: 2, running: 2 },
  ops: [{ op: "resize", queued: 12_345, running: 2, waiting_since: "2030-01-31T07:59:50.000Z" }],
  pools: [{ pid: 99, workers: 2, held: 2, ops: [{ op: "resize", held: 2 }] }],
  standstills: 0,
  connections: 1,
};

function task(task_id: string, more: Partial<TaskView> = {}): TaskView {
  return {
    task_id,
    op: "resize",
    status: "running",
    priority: 0,
    attempt: 1,
    attempts: 3,
    created_at: "2030-01-31T07:00:00.000Z",
    started_at: "2030-01-31T07:58:00.000Z",
    ...more,
  };
}

const FAILED = task("bad", {
  status: "failed",
  finished_at: "2030-01-31T07:59:30.000Z",
  error: { code: "task_error", message: "no \x1b[2J file" },
});

function shown(more: Partial<Shown> = {}): Shown {
  return {
    server: "127.0.0.1:5000",
    snapshot: {
      stats: STATS,
      rates: { submitted: 1234.4, finished: 15_000 },
      tasks: [task("one", { progress: { fraction: 0.5, note: "half" } }), task("two")],
      failures: [FAILED],
    },
    mode: { name: "list" },
    filter: "",
    selected: 0,
    notice: "",
    lost: undefined,
    ...more,
  };
}

function textOf(state: Shown, rows = 24, columns = 80): string {
  return screenLines(state, { rows, columns }).map(({ text }) => text.trimEnd()).join("\n");
}

Deno.test("the screen of sd top at 80 columns and 24 rows", () => {
  assertEquals(
    textOf(shown()).split("\n"),
    [
      "sd top  127.0.0.1:5000  sd 1.2.3  sqlite  up 1.5m                      08:00:00Z",
      "in 1,234/s  out 15k/s  oldest waits 10s  2 workers in 1 pool  1 connection",
      "queued 12.3k  running 2  completed 1.23M  failed 1",
      "",
      "OP      QUEUED  RUNNING  OLDEST",
      "resize   12.3k        2     10s",
      "",
      "pool 99  2 workers  holds 2: resize 2",
      "",
      "  RUNNING  OP      STATUS   TRY  AGE",
      "> one      resize  running  1/3   2m  50 % half",
      "  two      resize  running  1/3   2m",
      "",
      "  FAILED LATELY  OP      STATUS  TRY  AGE",
      "  bad            resize  failed  1/3  30s  task_error: no \\u001b[2J file",
      ...Array(7).fill(""),
      "",
      "q quit  ↑↓ move  Enter task  / filter  c cancel  r retry  ? help",
    ],
  );
});

Deno.test("the screen of sd top fills all rows, for any content", () => {
  const tasks = Array.from({ length: 300 }, (_, i) => task(`task-${i}`));
  const ops = Array.from({ length: 40 }, (_, i) => ({ op: `op-${i}`, queued: i, running: 0 }));
  const pools = Array.from({ length: 9 }, (_, i) => ({ pid: i, workers: 1, held: 0, ops: [] }));
  const snapshot = {
    stats: { ...STATS, ops, pools, paused: ["*"] },
    rates: undefined,
    tasks,
    failures: Array.from({ length: 20 }, () => FAILED),
  };
  const modes: Shown["mode"][] = [
    { name: "list" },
    { name: "help" },
    { name: "filter", text: "x" },
    { name: "confirm", task: FAILED },
    { name: "task", id: "a", task: FAILED, lines: Array(99).fill("line"), from: 50 },
  ];
  for (const rows of [1, 2, 3, 5, 8, 13, 24, 100]) {
    for (const selected of [0, 150, 299, 319]) {
      for (const mode of modes) {
        const lines = screenLines(shown({ snapshot, mode, selected }), { rows, columns: 80 });
        assertEquals(lines.length, rows);
      }
    }
  }
  for (const selected of [0, 150, 299, 319]) {
    const lines = screenLines(shown({ snapshot, selected }), { rows: 24, columns: 80 });
    assertEquals(lines.filter(({ look }) => look === "selected").length, 1, `${selected}`);
  }
  assertEquals(textOf(shown({ snapshot: undefined })).split("\n").length, 24);
});

Deno.test("sd top shows paused ops, missing workers and a lost connection", () => {
  const stats = { ...STATS, paused: ["resize", "hash"], pools: [] };
  const { snapshot } = shown();
  const text = textOf(shown({
    snapshot: { ...snapshot!, stats },
    lost: "connection to 127.0.0.1:5000 lost: the server closed it",
  }));
  assertStringIncludes(text, "paused: resize, hash");
  assertStringIncludes(text, "no workers; add some with: sd work");
  assertStringIncludes(text, "the server closed it; trying again");
});

Deno.test("keys are read from escape sequences, several at a time", () => {
  assertEquals(readKeys("\x1b[A\x1bOBj\r\x7f\x03"), [
    "up",
    "down",
    { char: "j" },
    "enter",
    "backspace",
    "interrupt",
  ]);
  assertEquals(readKeys("\x1b"), ["escape"]);
  assertEquals(readKeys("\x1b[5~\x1b[6~\x1b[H\x1b[F"), ["page_up", "page_down", "home", "end"]);
  // Unknown ones mean nothing, as a whole: no letter of theirs is taken for a key.
  assertEquals(readKeys("\x1b[1;5C\x1b[200~\x1bOPq\x01é😀"), [
    { char: "q" },
    { char: "é" },
    { char: "😀" },
  ]);
});

Deno.test("text fits its columns with wide characters, and is escaped", () => {
  assertEquals(fit("abc", 5), "abc  ");
  assertEquals(fit("abcdef", 4), "abc…");
  assertEquals(fit("世界世界", 5), "世界…");
  assertEquals(fit("世界世界", 6), "世界… ");
  assertEquals(fit("e\u0301x", 3), "e\u0301x ");
  assertEquals([cut("abc", 0), cut("abc", 1), fit("a", -3)], ["", "…", ""]);
  assert(!fit("\x1b[2J\r\n", 20).includes("\x1b"));
});

Deno.test("a table shrinks its last columns first", () => {
  const columns = [{ heading: "ID", least: 4 }, { heading: "N", right: true }, {
    heading: "NOTE",
    least: 6,
  }];
  const rows = [["0123456789", "7", "a long note"]];
  assertEquals(tableLines(columns, { rows, width: 80 }), [
    "ID          N  NOTE",
    "0123456789  7  a long note",
  ]);
  assertEquals(tableLines(columns, { rows, width: 22 })[1], "0123456789  7  a long…");
  assertEquals(tableLines(columns, { rows, width: 17 })[1], "01234…  7  a lon…");
  assertEquals(tableLines(columns, { rows, width: 5 })[1], "012……");
});

Deno.test("a list of tasks on a terminal omits empty columns; in a pipe it is complete", () => {
  const tasks = [{ ...FAILED, task_id: "x".repeat(36) }];
  const options = { columns: 80, now: Date.parse(NOW) };
  const headings = (text: string) => text.split("\n")[0]!.split(/ +/);
  assertEquals(headings(taskTable(tasks, options)), [
    "ID",
    "OP",
    "STATUS",
    "TRY",
    "AGE",
    "TOOK",
    "ERROR",
  ]);
  assertEquals(headings(taskTable(tasks, { ...options, without: ["STATUS"] })).length, 6);
  assertEquals(headings(taskTable(tasks, { ...options, columns: 70 })).at(-1), "TOOK");
  assertEquals(headings(taskTable(tasks, { ...options, columns: undefined })).at(4), "CREATED");
});

Deno.test("numbers are short", () => {
  assertEquals([0, 9999, 10_000, 12_399, 123_999, 999_999, 1_000_000, 2.5e9].map(compact), [
    "0",
    "9,999",
    "10k",
    "12.3k",
    "123k",
    "999k",
    "1M",
    "2.5G",
  ]);
});

Deno.test("sd top goes on when a silent server replies again", async () => {
  const seen: string[] = [];
  const app = new TopApp(1);
  let looks = 0;
  const client = {
    target: "h:1",
    list: () => Promise.resolve({ tasks: [] }),
    stats: () => {
      if (++looks > 1) {
        app.ended("hangup");
        return new Promise(() => {});
      }
      return Promise.reject(new ClientError("unreachable", "h:1 has not answered for 30s"));
    },
  } as unknown as Client;
  const draw = (lines: readonly unknown[]) => void seen.push(JSON.stringify(lines));
  assertEquals(await app.run(client, { size: { columns: 80, rows: 24 }, draw }), 0);
  assertEquals([looks, seen.some((text) => text.includes("has not answered"))], [2, true]);
});
