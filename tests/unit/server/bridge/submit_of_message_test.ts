/** Messages as submits: which id the task gets, and what is no task. */

import { assertEquals, assertThrows } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import { MAX_LINE_BYTES, MAX_ROUTE_CHARS } from "../../../../protocol/limits.ts";
import { readSubmit } from "../../../../server/bridge/submit_of_message.ts";

const encoder = new TextEncoder();
const SQUARE = '{"op":"square","n":4}';

function refusal(body: string | Uint8Array, id: string | undefined = "a", route?: string): string {
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  return assertThrows(() => readSubmit({ id, body: bytes, route }), SdError).code;
}

Deno.test("the id of the message is the id of the task; the body can name it instead, and no other", () => {
  const idOf = (body: string, id?: string) => {
    const { message } = readSubmit({ id, body, route: undefined });
    return (message.task as { id?: string } | undefined)?.id;
  };
  assertEquals(idOf(SQUARE, "m"), "m");
  assertEquals(idOf('{"op":"square","n":4,"task":{"id":"b"}}'), "b");
  assertEquals(idOf('{"op":"square","n":4,"task":{"id":"b"}}', "b"), "b");
  assertEquals(idOf('{"op":"square","n":4,"task":{"priority":3}}', "m"), "m");
  assertEquals(refusal('{"op":"square","n":4,"task":{"id":"b"}}', "m"), "bad_request");
  const none = { id: undefined, body: SQUARE, route: undefined };
  assertThrows(() => readSubmit(none), SdError, "message_id");
});

Deno.test("the text of the task is the body on one line, exactly", () => {
  const body = '{\n "op":"echo",\r\n "data":"a\\n\\u0000", "n":1.0}';
  const { line } = readSubmit({ id: "a", body, route: undefined });
  assertEquals(line, '{  "op":"echo",   "data":"a\\n\\u0000", "n":1.0}');
});

Deno.test("a body at the limit is a task; one byte more, a command, or no JSON is none", () => {
  const ofSize = (bytes: number) => {
    const frame = '{"op":"echo","data":""}';
    return frame.slice(0, -2) + "x".repeat(bytes - frame.length) + '"}';
  };
  const largest = encoder.encode(ofSize(MAX_LINE_BYTES));
  assertEquals(readSubmit({ id: "a", body: largest, route: undefined }).message.op, "echo");
  assertEquals(refusal(ofSize(MAX_LINE_BYTES + 1)), "line_too_long");
  assertEquals(refusal(Uint8Array.of(0xff)), "bad_json");
  assertEquals(refusal("\0"), "bad_json");
  assertEquals(refusal('{"cmd":"stats"}'), "bad_request");
  assertEquals(refusal('{"op":"square","n":4,"task":{"cron":"* * * * *"}}'), "bad_request");
  assertEquals(refusal(SQUARE, "a", "x".repeat(MAX_ROUTE_CHARS + 1)), "bad_request");
});
