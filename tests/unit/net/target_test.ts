/** The address of a server as people write it. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../net/client_error.ts";
import { formatTarget, formatTargets, isLoopback, parseTarget } from "../../../net/target.ts";

Deno.test("missing parts of an address have their defaults", () => {
  const cases: [string, string, number][] = [
    ["127.0.0.1:5001", "127.0.0.1", 5001],
    ["localhost", "localhost", 5000],
    ["queue.example.org:80", "queue.example.org", 80],
    ["5001", "127.0.0.1", 5001],
    [":5001", "127.0.0.1", 5001],
    ["[::1]:5001", "::1", 5001],
    ["[::1]", "::1", 5000],
    ["::1", "::1", 5000],
    [" localhost:1 ", "localhost", 1],
    ["h:65535", "h", 65535],
  ];
  for (const [text, hostname, port] of cases) {
    assertEquals(parseTarget(text), { hostname, port }, text);
  }
});

Deno.test("several servers of a cluster stand in a list, and are written as they were read", () => {
  const target = parseTarget("a:1, b,[::1]:2");
  assertEquals(target, {
    hostname: "a",
    port: 1,
    others: [{ hostname: "b", port: 5000 }, { hostname: "::1", port: 2 }],
  });
  assertEquals(formatTargets(target), "a:1,b:5000,[::1]:2");
  assertEquals(parseTarget(formatTargets(target)), target);
  for (const text of ["a,", ",a", "a,,b", "a b,c", Array(65).fill("a").join()]) {
    assertEquals(assertThrows(() => parseTarget(text), ClientError).code, "usage", text);
  }
});

Deno.test("a text that is not an address is refused and quoted", () => {
  for (
    const text of ["", " ", "a b", "http://h:1", "h:1:2x", "h:x", "[::1", "[h]:1", "h:-1", "é:1"]
  ) {
    const error = assertThrows(() => parseTarget(text), ClientError, JSON.stringify(text));
    assertEquals(error.code, "usage");
  }
});

Deno.test("a port is from 1 to 65535", () => {
  for (const text of ["h:0", "h:65536", "0", "65536", "[::1]:99999999999999999999"]) {
    assertThrows(() => parseTarget(text), ClientError, "a port is from 1 to 65535");
  }
});

Deno.test("an IPv6 address is printed in brackets, and can be read again", () => {
  const target = { hostname: "::1", port: 5001 };
  assertEquals(formatTarget(target), "[::1]:5001");
  assertEquals(parseTarget(formatTarget(target)), target);
  assertEquals(formatTarget({ hostname: "h", port: 1 }), "h:1");
});

Deno.test("addresses of this machine only are loopback addresses", () => {
  for (const hostname of ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]) {
    assert(isLoopback(hostname), hostname);
  }
  for (const hostname of ["0.0.0.0", "10.0.0.1", "localhost.example", "127.0.0.1.example", "::"]) {
    assert(!isLoopback(hostname), hostname);
  }
});
