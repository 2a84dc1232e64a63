/** What a task said, as lines for people: the time of day, the level, the text; and where one attempt ends and the next begins. */

import { dim, red, yellow } from "@std/fmt/colors";
import { escapeControls, paint } from "../../../cli/talk.ts";
import type { LogLevel, LogLine } from "../../../protocol/task.ts";

/** As wide as the longest name of a level. */
const LEVEL_COLUMNS = "debug".length;
const STYLES: Partial<Record<LogLevel, (text: string) => string>> = {
  debug: dim,
  warn: yellow,
  error: red,
};

export class LogLines {
  /** Of the entry before: its number, its attempt, how often it had been run again. */
  #before = { n: 0, attempt: 1, retry: 0 };

  /** `entry` with whatever has to be said before it, a newline between each two lines. */
  of(entry: LogLine): string {
    const { n, attempt, retry = 0 } = entry;
    const before = this.#before;
    this.#before = { n, attempt, retry };
    const lines: string[] = [];
    const missing = n - before.n - 1;
    if (missing > 0) lines.push(aside(missing === 1 ? "1 dropped" : `${missing} dropped`));
    if (attempt !== before.attempt || retry !== before.retry) {
      lines.push(aside(retry === 0 ? `attempt ${attempt}` : `retry ${retry}, attempt ${attempt}`));
    }
    lines.push(lineOf(entry));
    return lines.join("\n");
  }
}

function aside(text: string): string {
  return paint("stdout", dim, `--- ${text} ---`);
}

function lineOf({ at, level, text }: LogLine): string {
  const head = `${timeOfDay(new Date(at))} ${level.padEnd(LEVEL_COLUMNS)} `;
  // Further lines stand in, so that none of them looks like an entry of its own.
  const body = escapeControls(text, true).replaceAll("\n", `\n${" ".repeat(head.length)}`);
  const style = STYLES[level];
  return style ? paint("stdout", style, head + body) : head + body;
}

/** By the clock of whoever reads it. */
function timeOfDay(time: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}
