/**
 * The one room that writes to stdout and stderr: data on stdout, talk on stderr. Writes are
 * synchronous, so that nothing is lost when the process ends right after, and a slow reader slows the
 * writer down instead of filling its memory.
 */

import { EXIT } from "./exit.ts";

export type Stream = "stdout" | "stderr";

const encoder = new TextEncoder();
const RETRY_MS = 2;

/** A line of data. */
export function print(text: string): void {
  write("stdout", `${text}\n`);
}

/** A line of talk. */
export function say(text: string): void {
  write("stderr", `${text}\n`);
}

/** What is drawn on the last line of the terminal, again and again; what is written takes its place. */
export interface Footer {
  erase(): void;
}

let footer: Footer | undefined;

/** From now on `shown`, or none, stands below whatever is written. */
export function setFooter(shown: Footer | undefined): void {
  footer = shown;
}

/** `text` as it stands, without a newline. */
export function write(stream: Stream, text: string): void {
  writeBytes(stream, encoder.encode(text));
}

export function writeBytes(stream: Stream, bytes: Uint8Array): void {
  if (footer && Deno[stream].isTerminal()) footer.erase();
  writeBelow(stream, bytes);
}

/** As a footer writes itself. */
export function writeBelow(stream: Stream, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    const written = writeSome(stream, rest);
    if (written === "gone") return;
    rest = rest.subarray(written);
  }
}

function writeSome(stream: Stream, bytes: Uint8Array): number | "gone" {
  try {
    return Deno[stream].writeSync(bytes);
  } catch (error) {
    if (error instanceof Deno.errors.WouldBlock) {
      // Somebody who shares the pipe or terminal made it non-blocking, and it is full: wait for it.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      return 0;
    }
    if (error instanceof Deno.errors.BrokenPipe) {
      // `sd ls | head -1` ends here, quietly. Talk that nobody hears is no reason to stop working.
      if (stream === "stdout") Deno.exit(EXIT.brokenPipe);
      return "gone";
    }
    throw error;
  }
}

/** `text` in a style of `@std/fmt/colors`, where `stream` is a terminal and `NO_COLOR` is unset. */
export function paint(stream: Stream, style: (text: string) => string, text: string): string {
  return !Deno.noColor && Deno[stream].isTerminal() ? style(text) : text;
}

/** Whether what is printed on stdout is read by a person. */
export function stdoutIsTerminal(): boolean {
  return Deno.stdout.isTerminal();
}

/** How wide a line of stdout may be; `undefined` where no person reads it. */
export function stdoutColumns(): number | undefined {
  if (!stdoutIsTerminal()) return undefined;
  try {
    // A terminal that was told no size has 0.
    return Deno.consoleSize().columns || undefined;
  } catch {
    // Some that call themselves terminals have no size at all.
    return undefined;
  }
}

// C0 and C1 controls, DEL, and the marks that reverse the direction of text.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * `text` of a stranger made safe for a terminal: control characters as `\u001b`. A newline and a tab
 * stay where `keepLines` is set.
 */
export function escapeControls(text: string, keepLines = false): string {
  return text.replace(CONTROLS, (char) => {
    if (keepLines && (char === "\n" || char === "\t")) return char;
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
