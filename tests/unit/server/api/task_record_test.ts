/** Tasks as they are exported and imported: nothing is lost on the way, and nothing odd comes in. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import { MAX_RESULT_BYTES } from "../../../../protocol/limits.ts";
import type { JsonObject } from "../../../../protocol/message.ts";
import { recordFromJson, recordToJson } from "../../../../server/api/task_record_json.ts";
import type { TaskRecord } from "../../../../server/engine/engine.ts";
import { LiveTask } from "../../../../server/engine/live/live_task.ts";
import { ATTACHMENT_KINDS } from "../../../../server/engine/journaled/task_store.ts";
import { newTask } from "../../../../server/task/new_task.ts";
import { Serials } from "../../../../server/task/task_id.ts";

const NOW = Date.UTC(2030, 0, 1);
const serials = new Serials();

function recordOf(line: string, more: Partial<TaskRecord> = {}): TaskRecord {
  return {
    ...new LiveTask(newTask(JSON.parse(line), line, { now: NOW, serials })).record(),
    ...more,
  };
}

/** What is left of `record` once it was a line and has come in again. */
function carried(record: TaskRecord): TaskRecord {
  const line = JSON.stringify(recordToJson(record));
  assert(!line.includes("\n"));
  return new LiveTask(recordFromJson(JSON.parse(line) as JsonObject, { serials })).record();
}

Deno.test("a record comes in as it went out", () => {
  const done = {
    status: "completed",
    attempt: 1,
    startedAt: NOW + 5,
    finishedAt: NOW + 9,
  } as const;
  const records: TaskRecord[] = [
    recordOf('{"op":"square","n":4,"task":{"id":"a"}}'),
    recordOf('{"op":"square","n":4,"task":{"id":"b"}}', { ...done, result: "16" }),
    recordOf(
      '{"op":"x","task":{"id":"c","delay":5000,"key":"k","limit":2,"rate":"5/1h","after":["a","b"],' +
        '"priority":-3,"timeout":7,"attempts":9,"backoff":0,"expires":90000,"keep":0}}',
      { attempt: 2, deaths: 1, error: { code: "timeout", message: "ü" } },
    ),
    recordOf('{"op":"x","task":{"id":"at","at":"2031-01-01T00:00:00Z"}}'),
    recordOf('{"op":"x","task":{"id":"m"}}', { route: '{"to":"replies"}' }),
    recordOf('{"op":"x","task":{"id":"d"}}', {
      status: "cancelled",
      finishedAt: NOW,
      cancelledFor: "a",
    }),
    recordOf('{"op":"x","task":{"id":"e"}}', {
      status: "failed",
      attempt: 1,
      deaths: 3,
      finishedAt: NOW,
      error: { code: "worker_crashed", message: "m" },
    }),
  ];
  for (const record of records) {
    // What a client may not name again is named from here on.
    assertEquals(carried(record), { ...record, idGiven: true });
  }
});

Deno.test("a time that a client named is the wall clock's also after an import", () => {
  const [at, span] = ['"at":"2031-01-01T00:00:00Z"', '"delay":5000'].map((when) =>
    recordToJson(recordOf(`{"op":"x","task":{"id":"a",${when}}}`))
  );
  const HOUR = 3_600_000;
  assertEquals(recordFromJson(at!, { serials, aheadMs: HOUR }).runAt, Date.UTC(2031, 0, 1));
  assertEquals(recordFromJson(span!, { serials, aheadMs: HOUR }).runAt, NOW + 5000 + HOUR);
});

Deno.test("payload and result keep their exact text, however odd", () => {
  const deep = "[".repeat(60) + "]".repeat(60);
  const payloads = [
    '{ "op":"x", "n":-0, "task":{"id":"a"}}',
    '{"op":"x","n":1e20,"n":1.0,"task":{"id":"a"}}',
    `{"op":"x","d":${deep},"task":{"id":"a"}}`,
    '{"op":"x","s":"\\ud800 \\u0041","__proto__":1,"task":{"id":"a"}}',
  ];
  const results = ["null", "1152921504606846976", "[".repeat(900) + "]".repeat(900), '"\\/"'];
  payloads.forEach((payload, i) => {
    const result = results[i]!;
    const done = { status: "completed", attempt: 1, startedAt: NOW, finishedAt: NOW } as const;
    const back = carried(recordOf(payload, { ...done, result }));
    assertEquals([back.payload, back.result], [payload, result]);
  });
  const plain = recordToJson(recordOf('{"op":"x","n":[1,{"a":"ü"}],"task":{"id":"a"}}'));
  assertEquals(plain.submit, { op: "x", n: [1, { a: "ü" }], task: { id: "a" } });
});

Deno.test("a task that runs is written as queued, its attempt not made", () => {
  const line = '{"op":"x","task":{"id":"a","attempts":3}}';
  const { status, attempt } = recordToJson(
    recordOf(line, { status: "running", attempt: 2, startedAt: NOW }),
  );
  assertEquals([status, attempt], ["queued", 1]);
});

Deno.test("a record that is not one is refused, and says why", () => {
  const good = recordToJson(recordOf('{"op":"x","task":{"id":"a"}}'));
  recordFromJson(good, { serials });
  const cases: [JsonObject, string][] = [
    [{ sd: 2 }, '"sd":1'],
    [{ sd: undefined }, '"sd":1'],
    [{ id: "a b" }, "A-Za-z0-9"],
    [{ id: 5 }, "A-Za-z0-9"],
    [{ op: "" }, "op is"],
    [{ op: "y" }, "submit is"],
    [{ submit: [1] }, "submit is"],
    [{ submit: undefined, submit_text: '{"op":"x"' }, "not JSON"],
    [{ submit: undefined, submit_text: '{"op":\n"x"}' }, "one line"],
    [{ submit: undefined, submit_text: '{"op":"x","n":9007199254740993}' }, "rounded"],
    [{ submit_text: '{"op":"x"}' }, "given once"],
    [{ status: "running" }, "status is one of"],
    [{ status: "completed" }, "finished_at"],
    [{ result: 5 }, "result is"],
    [{ finished_at: "2030-01-01T00:00:00.000Z" }, "finished_at"],
    [{ status: "failed", finished_at: "2030-01-01T00:00:00.000Z" }, "error is"],
    [{ attempt: -1 }, "attempt is"],
    [{ attempt: 101 }, "attempt is"],
    [{ deaths: 3 }, "deaths is"],
    [{ created_at: "yesterday" }, "created_at"],
    [{ created_at: "2030-02-30T00:00:00.000Z" }, "created_at"],
    [{ created_at: "2030-01-01T24:00:00.000Z" }, "created_at"],
    [{ created_at: undefined }, "created_at"],
    [{ calendar: 1 }, "calendar is"],
    [{ rules: { retries: 1 } }, '"retries"'],
    [{ rules: { attempts: 0 } }, "attempts is"],
    [{ limit: 2 }, "key is"],
    [{ key: "k", rate: "often" }, "10/1m"],
    [{ after: "b" }, "after is"],
    [{ after: [""] }, "after is"],
    [{ error: { code: "oops", message: "" } }, "code is"],
    [{ colour: "red" }, '"colour"'],
  ];
  for (const [change, message] of cases) {
    const record = Object.fromEntries(
      Object.entries({ ...good, ...change }).filter(([, value]) => value !== undefined),
    );
    const error = assertThrows(() => recordFromJson(record, { serials }), SdError, message);
    assertEquals((error as SdError).code, "bad_request", message);
  }
});

Deno.test("a record carries every kind of attachment, and one with a kind unknown to this sd is refused", () => {
  const log = [{ n: 1, at: NOW, attempt: 1, retries: 0, level: "info", text: "hello" }] as const;
  const out = recordToJson(recordOf('{"op":"x","task":{"id":"a"}}', { log }));
  // A new kind is lost by an export until it is carried here.
  for (const kind of ATTACHMENT_KINDS) assert(kind in out, kind);
  const error = assertThrows(
    () => recordFromJson({ ...out, trace: "[]" } as JsonObject, { serials }),
    SdError,
  );
  assertEquals(error.message, 'a record has no member "trace"');
});

Deno.test("a result at its limit comes in, one byte more does not", () => {
  const done = { status: "completed", attempt: 1, startedAt: NOW, finishedAt: NOW } as const;
  const result = (bytes: number) => JSON.stringify("r".repeat(bytes - 2));
  const at = (bytes: number) =>
    carried(recordOf('{"op":"x","task":{"id":"a"}}', { ...done, result: result(bytes) }));
  assertEquals(at(MAX_RESULT_BYTES).result?.length, MAX_RESULT_BYTES);
  assertThrows(() => at(MAX_RESULT_BYTES + 1), SdError, "bytes");
});
