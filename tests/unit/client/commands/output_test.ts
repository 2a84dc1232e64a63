/** What a command prints where, the one envelope of --json, and the exit codes. */

import { assert, assertEquals } from "@std/assert";
import { CLIENT_CODES, ClientError } from "../../../../net/client_error.ts";
import { defineCommand } from "../../../../cli/command.ts";
import { EXIT, exitCodeOf } from "../../../../cli/exit.ts";
import { escapeControls, say } from "../../../../cli/talk.ts";
import { printEnd } from "../../../../client/commands/base/output.ts";
import { alignedTable, withCommas } from "../../../../client/commands/base/table.ts";
import { endOf, type TaskEnd } from "../../../../client/task/task_end.ts";
import { FAILURE_CODES, REFUSAL_CODES, SdError } from "../../../../protocol/errors.ts";
import { captureOutput } from "../../../kit/captured_output.ts";

const FAILED: TaskEnd = {
  task_id: "a-1",
  status: "failed",
  error: { code: "timeout", message: "stopped" },
  attempt: 2,
};

/** A command whose run throws `error`. */
function failing(error: unknown) {
  return defineCommand({
    name: "demo",
    summary: "fail",
    flags: {},
    examples: [],
    run: () => Promise.reject(error),
  });
}

Deno.test("stdout has only the result: a string raw, anything else compact", async () => {
  const cases: [unknown, string][] = [
    [49, "49"],
    ["hello\nworld", "hello\nworld"],
    ["", ""],
    [null, "null"],
    [{ a: [1, "x"] }, '{"a":[1,"x"]}'],
  ];
  for (const [result, text] of cases) {
    const end: TaskEnd = { task_id: "a-1", status: "completed", result };
    const { value, stdout, stderr } = await captureOutput(() => printEnd(end, { json: false }));
    assertEquals([value, stdout, stderr], [EXIT.ok, `${text}\n`, ""]);
  }
});

Deno.test("a failed task is reported on stderr with the next command", async () => {
  const { value, stdout, stderr } = await captureOutput(() => printEnd(FAILED, { json: false }));
  assertEquals([value, stdout], [EXIT.failed, ""]);
  assertEquals(
    stderr,
    "[client] task failed: timeout: stopped\n    run it again with: sd retry a-1\n",
  );
});

Deno.test("cancelled and expired tasks have an exit code of their own", async () => {
  for (const status of ["cancelled", "expired"] as const) {
    const told = await captureOutput(() => printEnd({ task_id: "a-1", status }, { json: false }));
    assertEquals([told.value, told.stdout], [EXIT.ended, ""]);
    assert(told.stderr.includes(status), told.stderr);
  }
});

Deno.test("with --json every outcome is a line in the envelope", async () => {
  const completed: TaskEnd = { task_id: "a-1", status: "completed", result: "x\u001b" };
  const success = await captureOutput(() => printEnd(completed, { json: true }));
  assertEquals(
    success.stdout,
    '{"ok":true,"data":{"task_id":"a-1","status":"completed","result":"x\\u001b"}}\n',
  );
  const failure = await captureOutput(() => printEnd(FAILED, { json: true }));
  assertEquals(JSON.parse(failure.stdout), {
    ok: false,
    error: {
      code: "timeout",
      message: "stopped",
      hint: "run it again with: sd retry a-1",
      task_id: "a-1",
      attempt: 2,
    },
    exit: EXIT.failed,
  });
  assertEquals(failure.stdout.split("\n").length, 2);
});

Deno.test("an expected error ends a command with its own exit code and a hint", async () => {
  const cases: [Error, number, string][] = [
    [
      new ClientError("unreachable", "cannot reach h:1: connection refused"),
      3,
      "sd: cannot reach h:1: connection refused\n    start a server with: sd serve\n",
    ],
    [new SdError("conflict", "it exists"), 7, "sd: it exists\n"],
    [new ClientError("usage", "what?"), 2, "sd: what?\n    see: sd demo --help\n"],
    [new ClientError("usage", "what?", { hint: "that!" }), 2, "sd: what?\n    that!\n"],
    [new ClientError("interrupted", "interrupted"), 130, ""],
  ];
  for (const [error, exit, text] of cases) {
    const { value, stdout, stderr } = await captureOutput(() => failing(error).main([]));
    assertEquals([value, stdout, stderr], [exit, "", text]);
  }
});

Deno.test("with --json an error is on stdout, even an error in the flags", async () => {
  const command = failing(new SdError("not_found", "no such task"));
  const told = await captureOutput(() => command.main(["--json"]));
  assertEquals([told.value, told.stderr], [5, ""]);
  assertEquals(JSON.parse(told.stdout).error.code, "not_found");
  const wrong = await captureOutput(() => command.main(["--nope", "--json"]));
  assertEquals([wrong.value, wrong.stderr], [2, ""]);
  assertEquals(JSON.parse(wrong.stdout).error.code, "usage");
  const interrupted = failing(new ClientError("interrupted", "interrupted"));
  const cut = await captureOutput(() => interrupted.main(["--json"]));
  assertEquals(JSON.parse(cut.stdout).exit, 130);
});

Deno.test("a bug is reported as an error of sd, not of a task", async () => {
  const { value, stderr } = await captureOutput(() => failing(new TypeError("x")).main([]));
  assertEquals(value, EXIT.internal);
  assert(
    stderr.startsWith(
      "sd: internal error of sd: x\n    please report this with the lines below\nTypeError: x",
    ),
  );
});

Deno.test("a missing or extra argument is refused with the usage", async () => {
  const command = defineCommand({
    name: "demo",
    summary: "one",
    positional: "ID",
    minArgs: 1,
    flags: {},
    examples: [],
    run: () => Promise.resolve(0),
  });
  const run = async (...argv: string[]) => {
    const { value, stderr } = await captureOutput(() => command.main(argv));
    return [value, stderr.split(";")[0]?.trim()];
  };
  assertEquals(await run("a"), [0, ""]);
  assertEquals(await run(), [2, "sd: an argument is missing"]);
  assertEquals(await run("a", "b"), [2, 'sd: unexpected argument "b"']);
});

Deno.test("exit codes are as in the table of the design", () => {
  for (const code of FAILURE_CODES) assertEquals(exitCodeOf(code), 1, code);
  const expected: Record<string, number> = {
    bad_json: 2,
    bad_request: 2,
    line_too_long: 2,
    unauthorized: 4,
    not_found: 5,
    internal: 70,
  };
  for (const code of REFUSAL_CODES) assertEquals(exitCodeOf(code), expected[code] ?? 7, code);
  assertEquals(CLIENT_CODES.map(exitCodeOf), [2, 3, 124, 124, 130, 6, 6, 74]);
});

Deno.test("control characters of strangers never reach a terminal", () => {
  assertEquals(
    escapeControls("a\u001b[31m\u009b\u007f\r\n\t\u202e"),
    [
      "a\\u001b[31m",
      "\\u009b",
      "\\u007f",
      "\\u000d",
      "\\u000a",
      "\\u0009",
      "\\u202e",
    ].join(""),
  );
  assertEquals(escapeControls("a\n\tb\u001b", true), "a\n\tb\\u001b");
  assertEquals(escapeControls("plain äöü 漢字 🎉"), "plain äöü 漢字 🎉");
  assertEquals(alignedTable([["a\nb", "c"]]), "a\\u000ab  c");
});

Deno.test("a table is cut between visible characters, and counts wide ones", () => {
  const rows = [
    ["a", "e\u0301e\u0301e\u0301"],
    ["b", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}xyz"],
    ["c", "世界世界"],
  ];
  assertEquals(alignedTable(rows, [], 6).split("\n"), [
    "a  e\u0301e\u0301e\u0301",
    "b  …",
    "c  世…",
  ]);
});

Deno.test("a table is aligned, numbers to the right", () => {
  assertEquals(
    alignedTable([["OP", "N"], ["square", "12"], ["é", "3"]], [1]),
    [
      "OP       N",
      "square  12",
      "é        3",
    ].join("\n"),
  );
  assertEquals([0, 999, 1000, 1234567].map(withCommas), ["0", "999", "1,000", "1,234,567"]);
});

Deno.test("the end of a task is found in its line, and in no earlier line", () => {
  assertEquals(endOf({ task_id: "a", status: "queued" }), undefined);
  assertEquals(endOf({ task_id: "a", status: "running" }), undefined);
  // The acknowledgement of a task that existed already: its result is in the next line.
  assertEquals(endOf({ task_id: "a", status: "completed" }), undefined);
  assertEquals(endOf({ task_id: "a", status: "failed" }), undefined);
  assertEquals(endOf({ task_id: "a", status: "completed", result: null })?.status, "completed");
  assertEquals(endOf({ task_id: "a", status: "expired" })?.status, "expired");
});

Deno.test("talk goes to stderr, a line at a time", async () => {
  const { stdout, stderr } = await captureOutput(() => {
    say("one");
    say("two");
  });
  assertEquals([stdout, stderr], ["", "one\ntwo\n"]);
});
