/**
 * Input that any client can send, with its exact reply. After each the same server still squares
 * numbers on a fresh connection, and keeps no task that was not properly submitted.
 */

import { isDeepStrictEqual } from "node:util";
import { assert, assertEquals } from "@std/assert";
import { MAX_LINE_BYTES, MAX_RESULT_BYTES } from "../../protocol/limits.ts";
import { RawClient } from "../kit/raw_client.ts";
import { TestServer } from "../kit/test_server.ts";

/** A reply as it must be: `code` of an error, `ack` and `end` of a task, else members that it has. */
type Expected =
  | { readonly code: string; readonly ref?: unknown }
  | { readonly ack: true; readonly ref?: unknown }
  | { readonly end: string; readonly result?: unknown; readonly code?: string }
  | Readonly<Record<string, unknown>>;

type Input = readonly [
  name: string,
  data: string | Uint8Array,
  replies: readonly Expected[],
  closed: boolean,
];

const encoder = new TextEncoder();
const PONG = { pong: true };
const PING = '{"cmd":"ping"}\n';
/** A command that must not be read. */
const SMUGGLED = '{"op":"square","n":666,"ref":"smuggled"}\n';
const BAD_JSON = { code: "bad_json" };
const TOO_LONG = { code: "line_too_long" };

function bytes(...parts: (string | readonly number[])[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) => typeof part === "string" ? [...encoder.encode(part)] : [...part]),
  );
}

/** A ping of exactly `size` bytes, newline not counted. */
function pingOf(size: number): string {
  const empty = '{"cmd":"ping","x":""}';
  return empty.replace('""', `"${"x".repeat(size - empty.length)}"`);
}

/** An echo, answered as it came. */
function echoed(data: string): Input {
  // As JSON knows it: there is no minus zero.
  const result = JSON.parse(JSON.stringify(JSON.parse(data)));
  return [`echo of ${data.slice(0, 40)}`, `{"op":"echo","data":${data}}\n`, [
    { ack: true },
    { end: "completed", result },
  ], false];
}

function refused(line: string, code = "bad_request"): Input {
  return [line.slice(0, 70), `${line}\n`, [{ code }], false];
}

const FRAMING: readonly Input[] = [
  ["10 MiB without a newline", "x".repeat(10 * 1024 * 1024), [TOO_LONG], true],
  ["a line of limit − 1", PING + pingOf(MAX_LINE_BYTES - 1) + "\n", [PONG, PONG], false],
  ["a line of the limit", PING + pingOf(MAX_LINE_BYTES) + "\n", [PONG, PONG], false],
  ["a line of the limit, then CR LF", PING + pingOf(MAX_LINE_BYTES) + "\r\n", [PONG, PONG], false],
  ["a line of limit + 1", PING + pingOf(MAX_LINE_BYTES + 1) + "\n", [PONG, TOO_LONG], true],
  [
    "an oversize line whose tail is a command",
    PING + " ".repeat(2 * MAX_LINE_BYTES) + SMUGGLED + SMUGGLED,
    [PONG, TOO_LONG],
    true,
  ],
  ["a million empty lines", PING + "\n".repeat(1e6) + PING, [PONG, PONG], false],
  ["a million empty lines first", "\r\n".repeat(5e5) + "\n".repeat(5e5) + PING, [PONG], false],
  ["invalid UTF-8", bytes(PING, [0xff, 10], PING), [PONG, BAD_JSON, PONG], false],
  [
    "a surrogate in UTF-8",
    bytes(PING, '{"op":"echo","data":"', [0xed, 0xa0, 0x80], '"}\n', PING),
    [PONG, BAD_JSON, PONG],
    false,
  ],
  ["a BOM", bytes(PING, [0xef, 0xbb, 0xbf], PING), [PONG, BAD_JSON], false],
  ["a BOM first", bytes([0xef, 0xbb, 0xbf], PING, SMUGGLED), [BAD_JSON], true],
  ["a NUL byte", bytes(PING, [0], PING), [PONG, BAD_JSON], false],
  ["depth 100,000", `${PING}${"[".repeat(100_000)}\n`, [PONG, BAD_JSON], false],
  [
    "depth 100,000 in an argument",
    `${PING}{"op":"echo","data":${'{"a":'.repeat(1e5)}1${"}".repeat(1e5)}}\n`,
    [PONG, BAD_JSON],
    false,
  ],
  [
    "depth 64 and 65",
    `{"op":"echo","data":${"[".repeat(63)}${"]".repeat(63)},"ref":64}\n` +
    `{"op":"echo","data":${"[".repeat(64)}${"]".repeat(64)},"ref":65}\n`,
    [{ ack: true, ref: 64 }, BAD_JSON, { end: "completed", ref: 64 }],
    false,
  ],
];

const FIRST_BYTES: readonly Input[] = [
  ["HTTP GET", `GET / HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED}`, [BAD_JSON], true],
  ["HTTP POST", `POST / HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED.repeat(9)}`, [BAD_JSON], true],
  ["HTTP after empty lines", `\r\n\n\r\nPOST / HTTP/1.1\r\n\r\n${SMUGGLED}`, [BAD_JSON], true],
  ["RESP", `*1\r\n$4\r\nPING\r\n${SMUGGLED}`, [BAD_JSON], true],
  ["SSH", `SSH-2.0-OpenSSH_9.6\r\n${SMUGGLED}`, [BAD_JSON], true],
  [
    "TLS hello",
    bytes([0x16, 3, 1, 0, 0x2e, 1, 0, 0, 0x2a, 3, 3, 10, 0x13, 2, 10], SMUGGLED),
    [BAD_JSON],
    true,
  ],
  ...["null", "1", "[]", '"x"', "{", `[${SMUGGLED.trim()}]`].map((line): Input => [
    `${line} as the first line`,
    `${line}\n${SMUGGLED}`,
    [BAD_JSON],
    true,
  ]),
  [
    "a work link without the secret",
    '{"cmd":"work","version":1,"workers":1,"credit":9,"ops":["square"],"pid":1}\n' + SMUGGLED,
    [{ code: "unauthorized" }],
    true,
  ],
];

const VALUES: readonly Input[] = [
  ...["null", "1", "[]", '"x"', "true", "-0", "{"].map((line) => refusedLater(line)),
  refused('{"op":"echo","data":1e400}'),
  refused('{"op":"echo","data":[-1e400]}'),
  refused('{"op":"echo","data":9007199254740993}'),
  refused('{"op":"echo","data":{"deep":[-9007199254740992]}}'),
  refused(`{"op":"square","n":1${"0".repeat(400)}}`),
  echoed("-0.0"),
  echoed("[9007199254740991,-9007199254740991,5e-324]"),
  echoed('"\\u0000"'),
  echoed('"\\ud800"'),
  echoed('"\\udfff\\ud800"'),
  echoed('"line\\nbreak\\r\\n{\\"task_id\\":1}\\n"'),
  echoed('"\u2028\u2029\u007f"'),
  echoed('{"__proto__":{"data":1},"constructor":null,"toString":1,"then":2,"toJSON":3}'),
  ["__proto__ as an argument", '{"op":"echo","__proto__":{"data":5}}\n', [
    { ack: true },
    { end: "completed", result: null },
  ], false],
  ...["__proto__", "constructor", "toString", "then", "toJSON", "hasOwnProperty"].flatMap((
    name,
  ) => [
    refused(`{"op":"${name}"}`, "unknown_op"),
    refused(`{"cmd":"${name}"}`, "unknown_cmd"),
    refused(`{"cmd":"get","task_id":"${name}"}`, "not_found"),
    refused(`{"op":"square","n":1,"task":{"${name}":{}}}`),
  ]),
  ...[
    "../../etc/passwd",
    "file:///etc/passwd",
    "https://example.com/x.ts",
    "squ*",
    "'; DROP TABLE tasks; --",
    "square\\u0000",
    " square",
    "SQUARE",
  ].map((op) => refused(`{"op":"${op}","n":1}`, "unknown_op")),
  ...["null", "5", "true", "[]", "{}", '""', `"${"x".repeat(129)}"`].map((op) =>
    refused(`{"op":${op}}`)
  ),
  ...["null", "5", "[]", "{}", '""', `"${"x".repeat(5000)}"`].map((cmd) =>
    refused(`{"cmd":${cmd}}`, "unknown_cmd")
  ),
  ...["null", "1.5", "true", "[]", "{}", "9007199254740992", `"${"r".repeat(129)}"`].map((ref) =>
    refused(`{"op":"square","n":1,"ref":${ref}}`)
  ),
  ...["null", "5", '"x"', "[]", "true"].map((task) =>
    refused(`{"op":"square","n":1,"task":${task}}`)
  ),
];

const OPTIONS: readonly Input[] = [
  ...["priority", "delay", "timeout", "attempts", "backoff", "expires", "keep"].flatMap((name) =>
    [
      name === "priority" ? -101 : -1,
      ...(["timeout", "attempts", "expires"].includes(name) ? [0] : []),
      ...(["priority", "timeout", "attempts", "backoff"].includes(name) ? [2 ** 31] : []),
      2 ** 53 - 1,
      0.5,
      '"5"',
      "null",
      "[]",
    ].map((value) => refused(`{"op":"square","n":1,"task":{"${name}":${value}}}`))
  ),
  ...['"+275760-09-13T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"tomorrow"', "0", '"2030-01-31"'].map(
    (at) => refused(`{"op":"square","n":1,"task":{"at":${at}}}`),
  ),
  ...['""', '"a b"', '"é"', '"a\\nb"', "5", `"${"i".repeat(129)}"`].map((id) =>
    refused(`{"op":"square","n":1,"task":{"id":${id}}}`)
  ),
  ...["0", '"no"', "null"].map((wait) => refused(`{"op":"square","n":1,"task":{"wait":${wait}}}`)),
];

const IDS: readonly Input[] = [
  ...["get", "wait", "cancel", "retry"].flatMap((cmd) => [
    refused(`{"cmd":"${cmd}","task_id":"unknown"}`, "not_found"),
    refused(`{"cmd":"${cmd}","task_id":""}`, "not_found"),
    refused(`{"cmd":"${cmd}","task_id":"${"x".repeat(500_000)}"}`, "not_found"),
    ...["null", "5", "[]", "{}"].map((id) => refused(`{"cmd":"${cmd}","task_id":${id}}`)),
    refused(`{"cmd":"${cmd}"}`),
  ]),
  ...['"limit":0', '"limit":1001', '"limit":"5"', '"status":"done"', '"status":[]', '"cursor":"x"']
    .map((member) => refused(`{"cmd":"list",${member}}`)),
  ...['"key":5', '"since":-1', '"since":"yesterday"', '"since":1.5', '"order":"up"']
    .map((member) => refused(`{"cmd":"list",${member}}`)),
  ...["cancel", "retry"].flatMap((cmd) =>
    ["null", "5", '"a"', "[]", "[5]", '["a",null]', `["${"a".repeat(900_000)}",{}]`]
      .map((ids) => refused(`{"cmd":"${cmd}","task_ids":${ids}}`))
      .concat([refused(`{"cmd":"${cmd}","task_ids":${JSON.stringify(Array(1001).fill("a"))}}`)])
  ),
  ...['"cursor":5', '"op":5', '"cursor":"-1"', `"cursor":"${"9".repeat(400)}"`].map((member) =>
    refused(`{"cmd":"list",${member}}`)
  ),
];

const RESULTS: readonly Input[] = [
  [
    "the square of 100,000 digits",
    `{"op":"square","n":"1${"0".repeat(99_999)}"}\n`,
    [{ ack: true }, { end: "completed", result: `1${"0".repeat(199_998)}` }],
    false,
  ],
  [
    "the square of 100,001 digits",
    `{"op":"square","n":"1${"0".repeat(100_000)}"}\n`,
    [{ ack: true }, { end: "failed", code: "task_error" }],
    false,
  ],
  ...[0, 1].map((over): Input => {
    const data = "x".repeat(MAX_RESULT_BYTES - 2 + over);
    return [`a result of its limit + ${over}`, `{"op":"echo","data":"${data}"}\n`, [
      { ack: true },
      over === 0 ? { end: "completed", result: data } : { end: "failed", code: "bad_result" },
    ], false];
  }),
  [
    "numbers that grow in JSON",
    `{"op":"echo","data":[${"1e20,".repeat(200_000)}1]}\n`,
    [{ ack: true }, { end: "failed", code: "bad_result" }],
    false,
  ],
  [
    "a hash that spins",
    '{"op":"hash","data":"x","rounds":9007199254740991,"task":{"timeout":100}}\n',
    [{ ack: true }, { end: "failed", code: "timeout" }],
    false,
  ],
];

function refusedLater(line: string): Input {
  return [`${line} as a message`, `${PING}${line}\n${PING}`, [PONG, BAD_JSON, PONG], false];
}

// deno-lint-ignore no-explicit-any
function fits(reply: any, expected: Expected): boolean {
  const { code, ack, end, ...members } = expected as Record<string, unknown>;
  return (code === undefined || reply.error?.code === code) &&
    (!ack || (reply.status === "queued" && !("result" in reply))) &&
    (end === undefined || reply.status === end) &&
    Object.entries(members).every(([name, value]) => isDeepStrictEqual(reply[name], value));
}

/** Throws unless the replies are those expected; some may come before others that were asked first. */
async function assertReplies(client: RawClient, expected: readonly Expected[]): Promise<void> {
  const open = [...expected];
  while (open.length > 0) {
    const reply = await client.object();
    const at = open.findIndex((one) => fits(reply, one));
    const shown = JSON.stringify(reply).slice(0, 300);
    assert(at >= 0, `${shown} is none of ${JSON.stringify(open).slice(0, 300)}`);
    open.splice(at, 1);
  }
}

/** Sends `data` in segments of a size that cuts characters, and lines, anywhere. */
async function send(client: RawClient, data: Uint8Array): Promise<void> {
  const segment = data.length < 5000 ? 7 : 65_537;
  try {
    for (let at = 0; at < data.length; at += segment) {
      await client.send(data.subarray(at, at + segment));
    }
  } catch (error) {
    // The server has closed before it read everything.
    const { BrokenPipe, ConnectionReset } = Deno.errors;
    if (!(error instanceof BrokenPipe) && !(error instanceof ConnectionReset)) throw error;
  }
}

/** The tasks that the server has ever taken. */
async function submitted(client: RawClient): Promise<number> {
  return (await client.ask({ cmd: "stats" })).totals.submitted;
}

async function tryInput([, data, replies, closed]: Input, server: TestServer): Promise<void> {
  using before = await server.connect();
  const tasks = await submitted(before);
  using client = await server.connect();
  await send(client, typeof data === "string" ? encoder.encode(data) : data);
  await assertReplies(client, replies);
  if (!closed) assertEquals((await client.ask({ cmd: "ping", ref: "on" })).ref, "on");
  else assertEquals(await client.rest(), [], "nothing more, and the connection ends");
  using fresh = await server.connect();
  assertEquals((await fresh.ask({ op: "square", n: 7 })).status, "queued");
  assertEquals((await fresh.object()).result, 49);
  const asked = replies.filter((expected) => "ack" in expected).length;
  assertEquals(await submitted(fresh), tasks + asked + 1, "no task but those that were answered");
}

async function tryAll(t: Deno.TestContext, inputs: readonly Input[]): Promise<void> {
  await using server = await TestServer.start({ workers: 1 });
  assert(new Set(inputs.map(([name]) => name)).size > inputs.length * 0.9);
  for (const input of inputs) {
    const [name] = input;
    await t.step(name, () => tryInput(input, server));
  }
}

Deno.test("no framing, however odd, gets more than its reply", (t) => tryAll(t, FRAMING));
Deno.test("a client that speaks another protocol runs nothing", (t) => tryAll(t, FIRST_BYTES));
Deno.test("odd values come back as they are, or are refused", (t) => tryAll(t, VALUES));
Deno.test("options out of their range are refused", (t) => tryAll(t, OPTIONS));
Deno.test("invalid ids and lists are refused", (t) => tryAll(t, IDS));
Deno.test("results at their limits come back or fail", (t) => tryAll(t, RESULTS));

Deno.test("a character can be split over segments anywhere", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  const data = "é漢😀\u0000";
  for (const byte of encoder.encode(JSON.stringify({ op: "echo", data }) + "\n")) {
    await client.send(Uint8Array.of(byte));
  }
  assertEquals((await client.object()).status, "queued");
  assertEquals((await client.object()).result, data);
});

Deno.test("an argument can have 200,000 members", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  // As short as they can be: the line has its limit.
  const keys = Array.from({ length: 120_000 }, (_, i) => `"${i.toString(36)}":1`).join(",");
  const data = `{${keys}}`;
  assert(data.length < MAX_LINE_BYTES - 100);
  await client.send(`{"op":"echo","data":${data},"ref":1}\n`);
  assertEquals((await client.object()).status, "queued");
  const final = await client.object();
  assertEquals([final.status, Object.keys(final.result).length], ["completed", 120_000]);
});

Deno.test("the same id with other arguments is a conflict, and the first goes on", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  using other = await server.connect();
  await client.ask({ op: "sleep", ms: 100, task: { id: "mine" } });
  const conflict = await other.ask({ op: "sleep", ms: 101, task: { id: "mine" } });
  assertEquals(conflict.error.code, "conflict");
  assertEquals((await client.object()).result, 100);
  assertEquals((await client.ask({ cmd: "cancel", task_id: "mine" })).error.code, "conflict");
  assertEquals((await client.ask({ cmd: "retry", task_id: "mine" })).error.code, "conflict");
});

Deno.test("the same id with other arguments, in one segment, leaves the first its result", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.sendObjects(
    { op: "sleep", ms: 50, task: { id: "mine" }, ref: 1 },
    { op: "sleep", ms: 51, task: { id: "mine" }, ref: 2 },
  );
  await client.closeWrite();
  const replies = (await client.rest()).map((line) => JSON.parse(line));
  assertEquals(replies.map(({ ref }) => ref), [1, 2, 1]);
  assertEquals([replies[1].error.code, replies[2].result], ["conflict", 50]);
});

Deno.test("a connection cut in the middle of a line, thousands of times, leaves nothing", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const line = encoder.encode('{"op":"square","n":4,"ref":"cut"}');
  for (let round = 0; round < 50; round++) {
    await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      const conn = await Deno.connect(server.address);
      await conn.write(line.subarray(0, 1 + (round + i) % (line.length - 1)));
      conn.close();
    }));
  }
  using client = await server.connect();
  for (let tries = 0;; tries++) {
    const { connections, tasks } = await client.ask({ cmd: "stats" });
    assertEquals([tasks.queued, tasks.running], [0, 0]);
    if (connections <= 2) break;
    assert(tries < 2000, `${connections} connections are still open`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals((await client.ask({ op: "square", n: 9 })).status, "queued");
  assertEquals((await client.object()).result, 81);
});
