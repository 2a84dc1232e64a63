/** The wire's outside: lines out of bytes, guards on JSON, durations, work messages. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { formatDuration, parseDuration, parseRfc3339 } from "../../../protocol/text_forms.ts";
import { cutText, quote, SdError } from "../../../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../../../protocol/json_guard.ts";
import { MAX_JSON_DEPTH, MAX_LINE_BYTES, MAX_REF_CHARS } from "../../../protocol/limits.ts";
import { findRef, parseObject, readRef } from "../../../protocol/message.ts";
import { LineSplitter } from "../../../protocol/ndjson.ts";
import {
  leasedTaskLine,
  leaseOf,
  resultJsonOf,
  resultLine,
} from "../../../protocol/work_message.ts";

const encoder = new TextEncoder();
const bytes = (text: string) => encoder.encode(text);

Deno.test("lines come out whole, however the bytes are cut", () => {
  const text = '{"a":"ä€😀"}\r\n\n{"b":2}\nlast';
  const all = bytes(text);
  for (let size = 1; size <= all.length; size++) {
    const splitter = new LineSplitter(100);
    const lines = [];
    for (let at = 0; at < all.length; at += size) {
      lines.push(...splitter.push(all.subarray(at, at + size)));
    }
    assertEquals([...lines, ...splitter.end()], ['{"a":"ä€😀"}', "", '{"b":2}', "last"]);
  }
});

Deno.test("a chunk that is used again does not change a line that has begun", () => {
  const splitter = new LineSplitter(100);
  const buffer = bytes("abc");
  splitter.push(buffer);
  buffer.fill(120);
  assertEquals(splitter.push(bytes("d\n")), ["abcd"]);
});

Deno.test("a line at the limit passes, one byte more overflows, whatever follows it", () => {
  for (const ending of ["\n", "\r\n"]) {
    for (const chunk of [1, 7, 1000]) {
      const at = (length: number) => {
        const splitter = new LineSplitter(10);
        const all = bytes("x".repeat(length) + ending + "next\n");
        const lines = [];
        for (let i = 0; i < all.length; i += chunk) {
          lines.push(...splitter.push(all.subarray(i, i + chunk)));
        }
        return [splitter.overflowed, lines];
      };
      assertEquals(at(9), [false, ["x".repeat(9), "next"]]);
      assertEquals(at(10), [false, ["x".repeat(10), "next"]]);
      assertEquals(at(11), [true, []]);
    }
  }
});

Deno.test("lines before an oversize one in the same chunk are still read", () => {
  const splitter = new LineSplitter(4);
  assertEquals(splitter.push(bytes("ab\ncd\ntoolong\nef\n")), ["ab", "cd"]);
  assert(splitter.overflowed);
  assertEquals(splitter.push(bytes("gh\n")), []);
});

Deno.test("the real limit of a line holds to the byte", () => {
  for (
    const [length, overflowed] of [[MAX_LINE_BYTES, false], [MAX_LINE_BYTES + 1, true]] as const
  ) {
    const splitter = new LineSplitter(MAX_LINE_BYTES);
    splitter.push(new Uint8Array(length).fill(120));
    splitter.push(bytes("\n"));
    assertEquals(splitter.overflowed, overflowed);
  }
});

Deno.test("a line that is not UTF-8 is null and costs only itself", () => {
  const splitter = new LineSplitter(100);
  const lines = splitter.push(new Uint8Array([97, 10, 0xff, 0xfe, 10, 98, 10]));
  assertEquals(lines, ["a", null, "b"]);
});

Deno.test("nesting is allowed to the limit and refused one past it", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  checkDepth(nested(MAX_JSON_DEPTH));
  assertThrows(() => checkDepth(nested(MAX_JSON_DEPTH + 1)), SdError, "nested deeper");
  assertThrows(() => checkDepth("[".repeat(100_000)), SdError, "nested deeper");
  checkDepth(JSON.stringify({ text: '"' + "[".repeat(500) + "\\" }));
});

Deno.test("an integer literal that would be rounded is refused, a string or an exact one is not", () => {
  for (
    const text of [
      '{"n":9007199254740991}',
      '{"n":-9007199254740991}',
      '{"n":"9007199254740993"}',
      '{"n":"x\\"9007199254740993"}',
      '{"n":1234567890123456.5}',
      '{"n":0.12345678901234567890}',
      '{"n":1e300}',
    ]
  ) checkNumbers(text);
  for (
    const text of [
      '{"n":9007199254740992}',
      '{"a":[1,{"b":-9007199254740993}]}',
      '{"n":1e400}',
      '{"n":-1E+999}',
      `{"n":${"9".repeat(400)}}`,
    ]
  ) assertThrows(() => checkNumbers(text), SdError, "send it as a string");
});

Deno.test("a message is an object, and its ref a string or a safe integer within its limit", () => {
  for (const line of ["1", "null", "[]", '"x"', "{", "", "\ufeff{}", null]) {
    assertThrows(() => parseObject(line), SdError);
  }
  assertEquals(readRef(parseObject('{"ref":"r"}')), "r");
  assertEquals(readRef(parseObject("{}")), undefined);
  assertEquals(readRef({ ref: "r".repeat(MAX_REF_CHARS) })?.toString().length, MAX_REF_CHARS);
  for (const ref of ["r".repeat(MAX_REF_CHARS + 1), 1.5, true, null, {}, 2 ** 53]) {
    assertThrows(() => readRef({ ref }), SdError, "ref is a string");
  }
});

Deno.test("durations read as people write them", () => {
  const known = {
    "500ms": 500,
    "30s": 30_000,
    "5m": 300_000,
    "1.5h": 5_400_000,
    "2d": 172_800_000,
  };
  for (const [text, ms] of Object.entries(known)) assertEquals(parseDuration(text), ms);
  assertEquals(parseDuration("0"), 0);
  assertThrows(() => parseDuration("250"), SdError, "without a unit");
  for (const text of ["", "s", "-1s", "5 m", "1w", "1e3"]) {
    assertThrows(() => parseDuration(text), SdError, "not a duration");
  }
  assertEquals([90_000, 5, 1500, 0.25].map(formatDuration), ["1.5m", "5ms", "1.5s", "0.25ms"]);
});

Deno.test("a leased task is one line of JSON that holds the client's own", () => {
  const payload = '{ "op":"square","n":4 }';
  const line = leasedTaskLine(12, { attempt: 2, timeoutMs: 5, id: "a-b", payload });
  assertEquals(JSON.parse(line), {
    lease: 12,
    attempt: 2,
    timeout: 5,
    id: "a-b",
    submit: { op: "square", n: 4 },
  });
  assertEquals(leaseOf(line), 12);
});

Deno.test("a lease number is read exactly, or not at all", () => {
  assertEquals(leaseOf(resultLine(9_007_199_254_740_991, "1")), 9_007_199_254_740_991);
  for (
    const line of ['{"lease":90071992547409930,"result":1}', '{"lease":-1,"r":1}', '{"lease":"1"']
  ) {
    assertEquals(leaseOf(line), 0);
  }
  assertEquals(resultJsonOf(resultLine(7, '{"a":[1,2]}')), '{"a":[1,2]}');
  assertEquals(resultJsonOf('{"lease":7,"error":{"code":"timeout"}}'), undefined);
});

Deno.test("a quoted value is cut to its limit", () => {
  assertEquals(quote("x".repeat(500)).length, 78);
  assertEquals([quote(undefined), quote(5n), quote({ a: 1 })], ["undefined", "5n", '{"a":1}']);
});

Deno.test("a ref is found in a line that is no message, and only in its outermost object", () => {
  const deep = "[".repeat(70);
  const cases: [line: string, ref: string | number | undefined][] = [
    [`{"op":"echo","data":${deep}${"]".repeat(70)},"ref":2}`, 2],
    [`{"ref":"a","data":${deep}`, "a"],
    ['{"op":"square","n":4,"ref":-7', -7],
    ['{"op":"square",,"ref" : "x y\\"z" }', 'x y"z'],
    ['{"ref":1,"data":{"ref":2},"list":[{"ref":3}]', 1],
    ['{"ref":1,"n":nonsense,"ref":2}', 2],
    ['{"ref":1,"n":nonsense,"ref":007}', 1],
    ['{"data":"\\"ref\\":5","n":}', undefined],
    ['{"data":"ref","n":}', undefined],
    [`{"ref":"${"x".repeat(129)}","n":}`, undefined],
    ['{"ref":9007199254740993,"n":}', undefined],
    ['{"ref":1.5,"n":}', undefined],
    ['{"ref":"unended', undefined],
    ['"ref":1', undefined],
    ['[{"ref":1}', undefined],
    ["", undefined],
  ];
  for (const [line, ref] of cases) assertEquals(findRef(line), ref, line);
});

Deno.test("the readable text of a line that is not UTF-8 is available", () => {
  const splitter = new LineSplitter(100);
  splitter.keepsSpoiled = true;
  const chunk = bytes('a\n{"ref":1,"x":"?"}\nb\n');
  chunk[chunk.indexOf(63)] = 0xff;
  assertEquals(splitter.push(chunk), ["a", null, "b"]);
  assertEquals(splitter.takeSpoiled(), ['{"ref":1,"x":"\ufffd"}']);
  assertEquals(splitter.takeSpoiled(), []);
});

Deno.test("times that do not exist are none", () => {
  const times: [string, number][] = [
    ["2026-01-31T08:00:00Z", Date.UTC(2026, 0, 31, 8)],
    ["2026-01-31t08:00:00.1239z", Date.UTC(2026, 0, 31, 8, 0, 0, 123)],
    ["2024-02-29T23:59:59-01:30", Date.UTC(2024, 2, 1, 1, 29, 59)],
    ["2026-06-01 00:00:00+05:45", Date.UTC(2026, 4, 31, 18, 15)],
    ["0050-01-01T00:00:00Z", Date.parse("0050-01-01T00:00:00Z")],
  ];
  for (const [text, ms] of times) assertEquals(parseRfc3339(text), ms, text);
  for (
    const text of [
      "2026-02-30T00:00:00Z",
      "2026-02-29T00:00:00Z",
      "2026-04-31T00:00:00Z",
      "2026-00-10T00:00:00Z",
      "2026-13-10T00:00:00Z",
      "2026-01-00T00:00:00Z",
      "2026-01-01T24:00:00Z",
      "2026-01-01T25:00:00Z",
      "2026-01-01T00:60:00Z",
      "2026-12-31T23:59:60Z",
      "2026-01-01T00:00:00+24:00",
      "2026-01-01T00:00:00+01:60",
      "2026-01-01T00:00:00",
      "2026-01-01",
      "26-01-01T00:00:00Z",
    ]
  ) assertEquals(parseRfc3339(text), NaN, text);
});

Deno.test("text is cut between characters, never within one", () => {
  const faces = "😀".repeat(10);
  for (let most = 3; most < 12; most++) {
    const short = cutText(faces, most);
    assert(short.length <= most && short.isWellFormed(), `${most}: ${short}`);
  }
  assertEquals(cutText("abc", 3), "abc");
  assertEquals(cutText("abcd", 3), "ab…");
  assertEquals(cutText("ae\u0301xx", 3), "a…");
  assertEquals(cutText("a👍🏽xx", 4), "a…");
  assertEquals(cutText("a👩\u200d🚀xx", 5), "a…");
  assertEquals(quote("😀".repeat(50)).isWellFormed(), true);
});
