/** What a task says as text: as the console would print it, within its bounds, whatever the values are. */

import { assert, assertEquals } from "@std/assert";
import { MAX_LOG_ENTRY_CHARS } from "../../../../protocol/limits.ts";
import { logText } from "../../../../workers/bridge/log_text.ts";

Deno.test("values stand side by side: strings as they are, everything else as Deno shows it", () => {
  assertEquals(logText([]), "");
  assertEquals(logText(["plain"]), "plain");
  assertEquals(
    logText(["n =", 4, "of", [1, "two"], { a: null }, undefined, 5n]),
    'n = 4 of [ 1, "two" ] { a: null } undefined 5n',
  );
  assertEquals(logText([Symbol("s"), true, new Map([[1, 2]])]), "Symbol(s) true Map(1) { 1 => 2 }");
});

Deno.test("a specifier is filled in if there is a value for it", () => {
  const cases: [unknown[], string][] = [
    [["%s is %d years", "Ada", 36], "Ada is 36 years"],
    [["%i and %f", 3.7, "2.5"], "3 and 2.5"],
    [["%o %O %j", [1], { a: 1 }, "x"], '[ 1 ] { a: 1 } "x"'],
    [["%cred%c", "color: red", ""], "red"],
    [["100 %", 1], "100 % 1"],
    [["100%% of %s", "it"], "100% of it"],
    [["%s and %s", "one"], "one and %s"],
    [["%d", { valueOf: () => 1 }], "NaN"],
    [["%d", 5n], "5n"],
    [["%x", 1], "%x 1"],
    [["%", 1], "% 1"],
    [["%s"], "%s"],
    [["%s", "a", "b"], "a b"],
    [[{ a: "%s" }, "b"], '{ a: "%s" } b'],
  ];
  for (const [values, text] of cases) assertEquals(logText(values), text);
});

Deno.test("a text at the limit is whole, a longer one is cut; nothing long is built on the way", () => {
  const most = "x".repeat(MAX_LOG_ENTRY_CHARS);
  assertEquals(logText([most]), most);
  for (const values of [[most + "y"], [most, 1], ["%s%s", most, most], [`%s${most}`, "a"]]) {
    const text = logText(values);
    assertEquals([text.length, text.at(-1)], [MAX_LOG_ENTRY_CHARS, "…"]);
  }
  const huge = "h".repeat(2 ** 28);
  assertEquals(logText(Array(1000).fill(huge)).length, MAX_LOG_ENTRY_CHARS);
});

Deno.test("no value can make it throw", () => {
  const bomb = () => {
    throw new Error("bomb");
  };
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const error = new Error("m");
  Object.defineProperty(error, "stack", { get: bomb });
  Object.defineProperty(error, "message", { get: bomb });
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const values = [
    { [Symbol.for("Deno.customInspect")]: bomb },
    { [Symbol.for("nodejs.util.inspect.custom")]: bomb },
    {
      get [Symbol.toStringTag]() {
        return bomb();
      },
    },
    {
      get constructor() {
        return bomb();
      },
    },
    new Proxy({}, { get: bomb, ownKeys: bomb, getPrototypeOf: bomb, has: bomb }),
    proxy,
    error,
    cycle,
    Object.create(null),
    { toString: bomb, valueOf: bomb, toJSON: bomb },
    Object.defineProperty([], 0, { get: bomb }),
    class {
      static get name() {
        return bomb();
      }
    },
    document_,
  ];
  for (const value of values) {
    for (const all of [[value], ["%s", value], ["%d", value], ["%o", value], ["%c", value]]) {
      const text = logText(all);
      assert(typeof text === "string" && text.length <= MAX_LOG_ENTRY_CHARS);
    }
  }
});

/** A host object of many getters. */
const document_ = globalThis;
