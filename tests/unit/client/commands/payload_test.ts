/** What people give as a payload, and the line that is made of it. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { ClientError } from "../../../../net/client_error.ts";
import { findJsonFault } from "../../../../client/commands/input/json_fault.ts";
import { readPayload } from "../../../../client/commands/input/payload.ts";
import { SdError } from "../../../../protocol/errors.ts";

/** The line for `text` without the id that is made for it, which must stand at its end. */
function jsonOf(text: string): string {
  const { json, id } = readPayload(text);
  const tail = `,"task":{"id":"${id}"}}`;
  assert(json.endsWith(tail), json);
  return `${json.slice(0, -tail.length)}}`;
}

function refusal(text: string): string {
  const error = assertThrows(() => readPayload(text), ClientError);
  assertEquals(error.code, "usage");
  return `${error.message}; ${error.hint}`;
}

Deno.test("JSON is sent as typed", () => {
  for (const text of ['{"op":"square","n":7}', '{ "op" : "x", "y": 1.50, "z":"\\u00e9" }']) {
    assertEquals(jsonOf(` ${text}\n`), text);
  }
});

Deno.test("line breaks between the tokens of JSON become spaces, so that it is one line", () => {
  assertEquals(
    jsonOf('{\n  "op":"echo",\r\n  "data":"a\\nb"\n}'),
    '{   "op":"echo",   "data":"a\\nb" }',
  );
});

Deno.test("text is the data of an echo, unchanged", () => {
  for (const text of ["hello", "7", "[1,2]", "true", ' a "b" \\ \u2028\u0000 ', '"quoted"']) {
    assertEquals(JSON.parse(jsonOf(text)), { op: "echo", data: text });
  }
});

Deno.test("angle brackets replace the outer braces, and stay in strings", () => {
  assertEquals(jsonOf('<"op":"square","n":7>'), '{"op":"square","n":7}');
  assertEquals(jsonOf('<"op":"echo","data":"<a>{b}">'), '{"op":"echo","data":"<a>{b}"}');
  assertEquals(jsonOf('{"op":"echo","data":"<a>"}'), '{"op":"echo","data":"<a>"}');
  assert(
    refusal('<"op":"square"').startsWith('the payload begins with "<" and does not end with ">"'),
  );
});

Deno.test("JSON without its quotes is refused with the place and a hint on quoting", () => {
  const message = refusal("{op:square,n:7}");
  assert(message.includes("at character 2, a name in double quotes is expected"), message);
  assert(message.includes('there is "op:square,n:7}"'), message);
  assert(message.includes("single quotes"), message);
  assert(refusal('{"op":"square"').includes("at character 15"), "unfinished");
});

Deno.test("an empty payload, one without op and one with cmd are refused", () => {
  assert(refusal("").startsWith("the payload is empty"));
  assert(refusal(" \n").startsWith("the payload is empty"));
  assert(refusal('{"n":7}').startsWith('the payload has no "op"'));
  assert(refusal('{"op":"x","cmd":"ping"}').includes('"cmd"'));
});

Deno.test("an integer that would be rounded is refused, and the largest exact one is sent", () => {
  assertEquals(
    jsonOf('{"op":"square","n":9007199254740991}'),
    '{"op":"square","n":9007199254740991}',
  );
  for (
    const text of ['{"op":"square","n":9007199254740992}', '<"op":"square","n":-9007199254740993>']
  ) {
    const error = assertThrows(() => readPayload(text), SdError, "would be rounded");
    assertEquals(error.code, "bad_request");
  }
});

Deno.test("nesting beyond the limit of the server is refused before it is sent", () => {
  const nested = (depth: number) => `{"op":"echo","data":${"[".repeat(depth)}${"]".repeat(depth)}}`;
  assertEquals(jsonOf(nested(63)), nested(63));
  assertEquals(assertThrows(() => readPayload(nested(64)), SdError).code, "bad_json");
  assertEquals(assertThrows(() => readPayload(nested(100_000)), SdError).code, "bad_json");
});

Deno.test("flags override options in the text; other options stay", () => {
  const text = '{"op":"x","task":{"priority":1,"attempts":2}}';
  const { json, id } = readPayload(text, { options: { priority: 9, keep: 5 } });
  assertEquals(JSON.parse(json), { op: "x", task: { id, priority: 9, attempts: 2, keep: 5 } });
  assertEquals(JSON.parse(readPayload("hi", { options: { id: "a" } }).json), {
    op: "echo",
    data: "hi",
    task: { id: "a" },
  });
});

Deno.test("every task has an id before it is sent: its own or a new one", () => {
  const idOf = (text: string) => {
    const { json, id } = readPayload(text);
    assertEquals(JSON.parse(json).task.id, id);
    return id;
  };
  assertEquals(idOf('{"op":"x","task":{"id":"a-1","keep":5}}'), "a-1");
  const made = Array.from({ length: 1000 }, () => idOf('{"op":"x","task":{"keep":5}}'));
  assertEquals(new Set(made).size, 1000);
  for (const id of made) {
    assertMatch(id ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});

Deno.test("invalid options and ids are refused before they are sent", () => {
  for (const task of ["5", "null", "[1]", '"x"', '{"id":5}', '{"id":null}']) {
    const error = assertThrows(() => readPayload(`{"op":"x","task":${task}}`), SdError);
    assertEquals(error.code, "bad_request", task);
  }
});

Deno.test("wait can be set by a flag and in the text", () => {
  assertEquals(readPayload("hi").wait, true);
  assertEquals(readPayload("hi", { options: { wait: false } }).wait, false);
  assertEquals(readPayload('{"op":"x","task":{"wait":false}}').wait, false);
  assertEquals(
    readPayload('{"op":"x","task":{"wait":false}}', { options: { wait: true } }).wait,
    true,
  );
});

Deno.test("a fault is found exactly in texts that are not JSON", () => {
  const base = '{"op":"sq","n":[1,2.5e-3,-0,true,null,{"a":"\\u00e9\\n"}],"s":"x"} ';
  const chars = '{}[]",:0123456789.eE+-truefalsn \\u\n\t\u0001';
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = mulberry32(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let run = 0; run < 20_000; run++) {
    let text = base;
    for (let edits = 1 + below(3); edits > 0; edits--) {
      const at = below(text.length);
      text = text.slice(0, at) + (below(2) === 0 ? "" : chars[below(chars.length)]) +
        text.slice(at + below(2));
    }
    assertEquals(findJsonFault(text) === undefined, isJson(text), `seed ${seed}: ${text}`);
  }
});

Deno.test("a fault is at the beginning of the wrong text", () => {
  const cases: [string, number][] = [
    ['{"a":01}', 5],
    ['{"a":truely}', 5],
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ['{"a":1} x', 8],
    ["[1 2]", 3],
    ["", 0],
  ];
  for (const [text, offset] of cases) assertEquals(findJsonFault(text)?.offset, offset, text);
});

Deno.test("a fault is found after a string of a megabyte", () => {
  assertEquals(findJsonFault(`{"a":"${"\\n".repeat(500_000)}"]`)?.offset, 1_000_007);
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
