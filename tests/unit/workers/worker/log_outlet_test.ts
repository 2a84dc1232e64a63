/** What leaves a worker of what its tasks say: everything where it is little, the newest where it is too much. */

import { assert, assertEquals } from "@std/assert";
import {
  MAX_LOG_CHARS,
  MAX_LOG_ENTRIES,
  MAX_LOG_ENTRY_CHARS,
} from "../../../../protocol/limits.ts";
import { LogRing, RingReader } from "../../../../workers/bridge/ring_area.ts";
import { LogOutlet } from "../../../../workers/worker/log_outlet.ts";
import { RING_BYTES, TaskShare } from "../../../../workers/bridge/task_table.ts";

interface Line {
  lease: number;
  log: [number, string, string][];
  dropped?: number;
}

class Stage {
  readonly row = new TaskShare().row;
  readonly area = new TaskShare().log;
  readonly writer = new LogRing(this.area, this.row);
  readonly reader = RingReader.ofLog(this.area, this.row);
  /** What was sent by message. */
  readonly sent: string[] = [];
  readonly outlet = new LogOutlet({ area: this.writer, send: (line) => this.sent.push(line) });
  #text = "";
  readonly #decoder = new TextDecoder();

  /** Lines in the area since the last call. */
  lines(): Line[] {
    this.reader.take(this.row.logEnd, {
      write: (bytes) => {
        this.#text += this.#decoder.decode(bytes.slice(), { stream: true });
      },
    });
    const lines = this.#text.split("\n");
    this.#text = lines.pop() ?? "";
    return lines.map((line) => JSON.parse(line));
  }
}

/** How much the lines account for: what is in them and what they say was dropped. */
function countOf(lines: readonly Line[]): number {
  return lines.reduce((sum, { log, dropped = 0 }) => sum + log.length + dropped, 0);
}

Deno.test("an entry leaves at once, with the lease of its task, its time and its level", () => {
  const stage = new Stage();
  const before = Date.now();
  stage.outlet.say(7, "warn", 'ü "quoted" \n\0\ud800');
  const [line] = stage.lines();
  assert(line && before <= line.log[0]![0] && line.log[0]![0] <= Date.now());
  assertEquals(line, { lease: 7, log: [[line.log[0]![0], "warn", 'ü "quoted" \n\0\ud800']] });
  assert(!stage.outlet.hasRest);
});

Deno.test("any entry fits the area, the worst as well, and lines go round its end", () => {
  const stage = new Stage();
  for (const char of ["x", "ü", "\0", "😀", "\ud800"]) {
    const text = char.repeat(MAX_LOG_ENTRY_CHARS / char.length);
    stage.outlet.say(Number.MAX_SAFE_INTEGER, "error", text);
    assertEquals(stage.lines().map(({ log }) => log[0]![2]), [text], JSON.stringify(char));
  }
  assert(!stage.outlet.hasRest);
  assertEquals(stage.sent, []);
});

Deno.test("an entry that does not fit into the ring waits until it fits, or until the task ends", () => {
  const stage = new Stage();
  const text = "x".repeat(RING_BYTES / 10);
  for (let i = 0; i < 12; i++) stage.outlet.say(1, "info", `${i}${text}`);
  assert(stage.outlet.hasRest);
  assertEquals(stage.lines().length, 9);
  stage.outlet.flush(1);
  assert(!stage.outlet.hasRest);
  assertEquals(countOf(stage.lines()), 3);
  for (let i = 0; i < 10; i++) stage.outlet.say(1, "info", text);
  stage.outlet.finish(1);
  assert(!stage.outlet.hasRest);
  assertEquals(countOf(stage.lines()), 9);
  assertEquals(countOf(stage.sent.map((line) => JSON.parse(line))), 1);
});

Deno.test("a flood loses its oldest entries, all are counted, and the number of waiting ones is limited", () => {
  const stage = new Stage();
  const lines: Line[] = [];
  const said = 200_000;
  for (let i = 1; i <= said; i++) {
    stage.outlet.say(1, "info", `line ${i}`);
    if (i % 1000 === 0) lines.push(...stage.lines());
  }
  stage.outlet.finish(1);
  lines.push(...stage.lines(), ...stage.sent.map((line) => JSON.parse(line)));
  assertEquals(countOf(lines), said);
  assertEquals(lines.at(-1)?.log.at(-1)?.[2], `line ${said}`);
  const texts = lines.flatMap(({ log }) => log.map(([, , text]) => Number(text.slice(5))));
  assertEquals(texts.toSorted((a, b) => a - b), texts, "in order");
  assertEquals(texts.slice(-900), Array.from({ length: 900 }, (_, i) => said - 899 + i));
});

Deno.test("after a flood each further task still has its last words", () => {
  const stage = new Stage();
  for (let i = 0; i < 20_000; i++) stage.outlet.say(1, "info", "x".repeat(1000));
  stage.outlet.finish(1);
  stage.lines();
  stage.sent.length = 0;
  for (let lease = 2; lease < 50; lease++) {
    for (let i = 0; i < 100; i++) stage.outlet.say(lease, "info", "x".repeat(100));
    stage.outlet.say(lease, "info", "last words");
    stage.outlet.finish(lease);
    const lines = [...stage.lines(), ...stage.sent.splice(0).map((line) => JSON.parse(line))];
    assert(lines.every((line) => line.lease === lease));
    assertEquals(countOf(lines), 101);
    assertEquals(lines.at(-1)?.log.at(-1)?.[2], "last words");
    const chars = lines.reduce((sum, { log }) => sum + log.length * 100, 0);
    assert(chars < 32 * 1024, `${chars} characters of one task`);
  }
});

Deno.test("no more entries wait than are kept for a task", () => {
  const stage = new Stage();
  for (const chars of [0, MAX_LOG_ENTRY_CHARS]) {
    for (let i = 0; i < 5000; i++) stage.outlet.say(1, "info", "x".repeat(chars));
    stage.lines();
    stage.sent.length = 0;
    stage.outlet.finish(1);
    const last = [...stage.lines(), ...stage.sent.map((line) => JSON.parse(line) as Line)];
    const entries = last.flatMap(({ log }) => log);
    assert(entries.length <= MAX_LOG_ENTRIES);
    assert(entries.reduce((sum, [, , text]) => sum + text.length, 0) <= MAX_LOG_CHARS);
  }
});
