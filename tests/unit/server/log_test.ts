/** What the server says on stderr: one line each, in its format, from its level on, nothing forged. */

import { assert, assertEquals } from "@std/assert";
import { TalkQueue } from "../../../cli/talk_queue.ts";
import { gapLine, type LogFormat, openLog, type Verbosity } from "../../../server/log.ts";

function talk(format: LogFormat, level: Verbosity) {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
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

/** A stderr that takes `room` bytes, then as `full` says. */
function stream(full: () => Promise<number>) {
  const decoder = new TextDecoder();
  const taken = { text: "", room: 0 };
  const queue = new TalkQueue({
    gap: (lines) => gapLine("text", lines),
    write: (bytes) => {
      const size = Math.min(taken.room, bytes.length);
      if (size === 0) return full();
      taken.room -= size;
      taken.text += decoder.decode(bytes.subarray(0, size));
      return Promise.resolve(size);
    },
  });
  const log = openLog({
    format: "text",
    level: "info",
    write: (line) => queue.add(new TextEncoder().encode(`${line}\n`)),
  });
  return { taken, queue, log };
}

Deno.test("lines that stderr did not take are counted once it takes lines again", async () => {
  const { taken, queue, log } = stream(() => Promise.reject(new Error("No space left on device")));
  for (const line of ["one", "two", "three"]) {
    log.info("server", line);
    await queue.flush(60_000);
  }
  // Enough for a part of a line.
  taken.room = 5;
  log.info("server", "four");
  await queue.flush(60_000);
  taken.room = 1000;
  log.info("server", "five");
  await queue.flush(60_000);
  assertEquals(taken.text.split("\n"), [
    "[serv",
    "[server] warning: 4 lines of this log could not be written",
    "[server] five",
    "",
  ]);
});

Deno.test("lines wait for a stderr that is not read, up to a limit; what is beyond is counted", async () => {
  const reader = Promise.withResolvers<number>();
  const { taken, queue, log } = stream(() => reader.promise);
  const long = "x".repeat(1000);
  for (let i = 0; i < 3000; i++) log.info("server", `${i} ${long}`);
  taken.room = Infinity;
  reader.resolve(0);
  await queue.flush(60_000);
  log.info("server", "last");
  await queue.flush(60_000);
  const lines = taken.text.trimEnd().split("\n");
  const kept = lines.length - 2;
  assert(kept > 1000 && kept < 1100, `${kept} lines were kept`);
  assertEquals(lines.slice(-2), [
    `[server] warning: ${3000 - kept} lines of this log could not be written`,
    "[server] last",
  ]);
});
