/** What the server says on stderr: one line each, in its format, from its level on, nothing forged. */

import { assertEquals } from "@std/assert";
import { type LogFormat, type LogLevel, openLog } from "../../server/log.ts";

function talk(format: LogFormat, level: LogLevel) {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line) > 0;
  const log = openLog({ format, level, write, now: () => 1_800_000_000_000 });
  log.info("server", "listening");
  log.warn("server", 'op "\u001b[2J\nforged"');
  log.bug("tcp", Object.assign(new Error("x"), { stack: "Error: x\n    at y" }));
  return lines;
}

Deno.test("text lines name their room and level; control characters cannot forge one", () => {
  assertEquals(talk("text", "info"), [
    "[server] listening",
    '[server] warning: op "\\u001b[2J\\u000aforged"',
    "[tcp] error: Error: x",
    "[tcp] error:     at y",
  ]);
});

Deno.test("JSON lines carry time, level, room and message", () => {
  const time = "2027-01-15T08:00:00.000Z";
  assertEquals(talk("json", "info").map((line) => JSON.parse(line)), [
    { time, level: "info", room: "server", message: "listening" },
    { time, level: "warn", room: "server", message: 'op "\u001b[2J\nforged"' },
    { time, level: "error", room: "tcp", message: "Error: x\n    at y" },
  ]);
  for (const line of talk("json", "info")) assertEquals(line.includes("\n"), false);
});

Deno.test("a level leaves out what is less", () => {
  assertEquals(talk("text", "warn").length, 3);
  assertEquals(talk("json", "error").length, 1);
});

Deno.test("lines that stderr did not take are counted once it takes lines again", () => {
  const lines: string[] = [];
  let isFull = true;
  const write = (line: string) => !isFull && lines.push(line) > 0;
  const log = openLog({ format: "text", level: "info", write });
  log.info("server", "one");
  log.info("server", "two");
  isFull = false;
  log.info("server", "three");
  log.info("server", "four");
  assertEquals(lines, [
    "[server] warning: 2 lines of this log could not be written",
    "[server] three",
    "[server] four",
  ]);
});
