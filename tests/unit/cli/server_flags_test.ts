/** Which server a command speaks to: a flag before the environment before a context before the default. */

import { assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../net/client_error.ts";
import type { Context } from "../../../cli/contexts.ts";
import { chooseServer, type ServerFlagValues } from "../../../cli/server_flags.ts";
import { formatTarget } from "../../../net/target.ts";

const NAMED: Record<string, Context> = {
  prod: { server: "prod:1", tls: true, token_env: "PROD_TOKEN" },
  test: { server: "test:2" },
};
const TOKENS = { PROD_TOKEN: "of-prod" };

interface Given {
  flags?: ServerFlagValues;
  env?: Record<string, string>;
  current?: string;
}

function choose({ flags = {}, env = {}, current }: Given) {
  const all: Record<string, string> = { ...TOKENS, ...env };
  return chooseServer({
    flags: { token: undefined, ...flags },
    env: (name) => all[name],
    contexts: () => ({ current, named: new Map(Object.entries(NAMED)) }),
  });
}

Deno.test("a flag overrides the environment, which overrides the context in use", () => {
  const env = { SD_SERVER: "env:5", SD_CONTEXT: "test" };
  const cases: [Given, string, string][] = [
    [{ flags: { server: "flag:6" }, env, current: "prod" }, "flag:6", "--server"],
    [{ flags: { context: "prod" }, env }, "prod:1", 'context "prod" (--context)'],
    [{ env, current: "prod" }, "env:5", "SD_SERVER"],
    [{ env: { SD_CONTEXT: "test" }, current: "prod" }, "test:2", 'context "test" (SD_CONTEXT)'],
    [
      { env: { SD_SERVER: "", SD_CONTEXT: "" }, current: "prod" },
      "prod:1",
      'context "prod" (sd context use)',
    ],
    [{}, "127.0.0.1:5000", "default"],
    [{ flags: { context: "default" }, current: "prod" }, "127.0.0.1:5000", "--context"],
  ];
  for (const [given, server, from] of cases) {
    const choice = choose(given);
    assertEquals([formatTarget(choice.target), choice.from.server], [server, from]);
  }
});

Deno.test("the token of a context is sent to its own server only", () => {
  assertEquals(choose({ current: "prod" }).target.token, "of-prod");
  const elsewhere: Given[] = [
    { flags: { server: "other:1" }, current: "prod" },
    { env: { SD_SERVER: "other:1" }, current: "prod" },
    { flags: { context: "test" }, current: "prod" },
    { flags: { context: "default" }, current: "prod" },
  ];
  for (const given of elsewhere) {
    const { target } = choose(given);
    assertEquals([target.token, target.tls], [undefined, undefined]);
  }
});

Deno.test("a given token overrides the token of the context; a flag overrides the environment", () => {
  const env = { SD_TOKEN: "of-env" };
  assertEquals(choose({ current: "prod", env }).target.token, "of-env");
  assertEquals(choose({ current: "prod", env, flags: { token: "t" } }).target.token, "t");
});

Deno.test("a command without token flags gets no token", () => {
  const { target } = chooseServer({
    flags: { context: "prod" },
    env: (name) => ["SD_TOKEN", "T"].includes(name) ? "secret" : undefined,
    contexts: () => ({
      current: undefined,
      named: new Map(Object.entries({ prod: { server: "p:1", token_env: "T" } })),
    }),
  });
  assertEquals("token" in target, false);
});

Deno.test("a named server makes contexts irrelevant: a damaged file is not read", () => {
  const contexts = () => {
    throw new Error("looked");
  };
  const { target } = chooseServer({ flags: { server: "a:1" }, env: () => undefined, contexts });
  assertEquals(target.port, 1);
});

Deno.test("an invalid server or token is refused with its source", () => {
  const refused = (given: Given, text: string) => {
    assertThrows(() => choose(given), ClientError, text);
  };
  refused({ flags: { server: "a", context: "prod" } }, "--server and --context both");
  refused({ flags: { context: "nope" } }, 'no context "nope" (--context)');
  refused({ env: { SD_SERVER: "a b" } }, '"a b", from SD_SERVER');
  refused({ current: "gone" }, 'no context "gone"');
  refused({ current: "prod", env: { PROD_TOKEN: "" } }, "PROD_TOKEN, which is not set");
  refused({ flags: { tokenFile: "/nowhere/token" } }, "cannot read /nowhere/token");
});
