/** URLs of Redis, and the checks of the Redis that they name. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../../net/client_error.ts";
import { checkTraits } from "../../../../server/engine/redis/checks.ts";
import { isSharedEngine } from "../../../../server/engine/open.ts";
import { parseRedisUrl, redisLabel } from "../../../../server/engine/redis/url.ts";

Deno.test("a URL of Redis names host, port, database, user, password and name", () => {
  const read = (url: string) => {
    const { hosts, db, username, password, name, isTls, master, replicas } = parseRedisUrl(url);
    const places = hosts.map(({ host, port }) => `${host}:${port}`).join();
    return [places, db, username, password, name, isTls, master, replicas];
  };
  const none = undefined;
  assertEquals(read("redis://h"), ["h:6379", 0, none, none, "sd", false, none, 0]);
  assertEquals(read("redis://h:7/3?name=a.b-c_1&wait=2"), [
    "h:7",
    3,
    none,
    none,
    "a.b-c_1",
    false,
    none,
    2,
  ]);
  assertEquals(read("rediss://:p%40ss@h"), ["h:6379", 0, none, "p@ss", "sd", true, none, 0]);
  assertEquals(read("redis://u%3A:p:q@[::1]:8"), ["::1:8", 0, "u:", "p:q", "sd", false, none, 0]);
  assertEquals(read("redis://u:a@b@h"), ["h:6379", 0, "u", "a@b", "sd", false, none, 0]);
  assertEquals(read("redis://a:1,b,c:3/"), ["a:1,b:6379,c:3", 0, none, none, "sd", false, none, 0]);
  const sentinel = ["a:26379,b:9", 4, "u", "p", "n", false, "mymaster", 0];
  assertEquals(read("redis+sentinel://u:p@a,b:9/mymaster/4?name=n"), sentinel);
  assertEquals(read("redis-sentinel://u:p@a,b:9/mymaster/4?name=n"), sentinel);
  assertEquals(read("redis://u:p@a,b:9/4?sentinel=mymaster&name=n"), sentinel);
  assertEquals(read("rediss+sentinel://a/m")[5], true);
});

Deno.test("a URL of Redis that is wrong is refused with its wrong part, and without its password", () => {
  const wrong: Record<string, string> = {
    "redis://": "is not HOST:PORT",
    "redis://:secret@h:0": "no port 0",
    "redis://:secret@h:70000": "no port 70000",
    "redis://:secret@h,": "is not HOST:PORT",
    "redis://:secret@::1": "is not HOST:PORT",
    "redis://:secret@h/one": "the database",
    "redis://:secret@h/-1": "the database",
    "redis://:secret@h?wait=x": "wait is",
    "redis://:secret@h?name=a:b": "name is",
    "redis://:secret@h?name=": "name is",
    "redis://:secret@h?mode=x": "no parameter",
    "redis://:secret%@h": "write %25",
    "redis+sentinel://:secret@h": "names no master",
    "redis+sentinel://:secret@h/m/0/1": "too many parts",
    "redis:/h": "does not look like",
    "http://h": "does not look like",
  };
  for (const [url, part] of Object.entries(wrong)) {
    const error = assertThrows(() => parseRedisUrl(url), ClientError);
    assert(error.message.includes(part), `${url}: ${error.message}`);
    assert(!`${error.message} ${error.hint}`.includes("secret"), error.message);
  }
  assert(["redis://h", "rediss+sentinel://h"].every(isSharedEngine));
});

Deno.test("the address of Redis for people has neither user nor password", () => {
  const label = (url: string) => redisLabel(parseRedisUrl(url));
  assertEquals(label("rediss://u:secret@[::1],b:7/3?name=n"), "rediss://[::1]:6379,b:7/3");
  assertEquals(label("redis+sentinel://u:secret@a/m/2"), "redis+sentinel://a:26379/m/2");
});

Deno.test("a Redis is refused that drops tasks, is too old, or cannot confirm; the operator learns what it may lose", () => {
  const good = { version: "7.2.1", policy: "noeviction", hasAof: true, fsync: "always" };
  const look = (traits: Partial<typeof good>, replicas = 0) => {
    const reports: string[] = [];
    checkTraits({ ...good, ...traits }, { replicas, report: (text) => void reports.push(text) });
    return reports;
  };
  assertEquals(look({}), []);
  assertEquals(look({}, 2), []);
  assertEquals(look({ version: "6.2.0" }), []);
  for (
    const [traits, replicas, part] of [
      [{ version: "6.0.16" }, 0, "version 6.0.16"],
      [{ policy: "allkeys-lru" }, 0, "allkeys-lru"],
      [{ version: "7.0.15" }, 1, "needs WAITAOF"],
      [{ hasAof: false }, 1, "appendonly"],
    ] as const
  ) {
    const error = assertThrows(() => look(traits, replicas), ClientError);
    assert(error.message.includes(part) && error.hint !== undefined, error.message);
  }
  assert(look({ hasAof: false })[0]?.includes("appendonly yes"));
  assert(look({ fsync: "everysec" })[0]?.includes("appendfsync always"));
  assert(look({ fsync: "no" })[0]?.includes("appendfsync always"));
});
