/**
 * The log of the server: lines on stderr, for people (`[room] message`) or for programs (JSON). Control characters are
 * escaped, so that text from a client cannot forge a line or move the cursor. A caller must log no secret, and of the data
 * of clients nothing but ops and ids.
 */

import { dim, red, yellow } from "@std/fmt/colors";
import { escapeControls, paint, say } from "../cli/talk.ts";

export const LOG_FORMATS = ["text", "json"] as const;
/** Each includes the levels after it. */
export const VERBOSITIES = ["info", "warn", "error"] as const;

export type LogFormat = typeof LOG_FORMATS[number];
export type Verbosity = typeof VERBOSITIES[number];

export interface Log {
  /** News that may interest an operator. */
  info(room: string, message: string): void;
  /** A problem that may need an operator. */
  warn(room: string, message: string): void;
  /** A failure: some part stands still until an operator acts. */
  error(room: string, message: string): void;
  /** An unexpected error, with its stack: a fault of sd itself. */
  bug(room: string, error: unknown): void;
}

interface LogOptions {
  readonly format: LogFormat;
  readonly level: Verbosity;
  /** Takes a line without its newline. Default: stderr. */
  readonly write?: (line: string) => void;
  readonly now?: () => number;
}

export function openLog({ format, level, write = say, now = Date.now }: LogOptions): Log {
  const least = VERBOSITIES.indexOf(level);
  const log = (at: Verbosity, room: string, message: string) => {
    if (VERBOSITIES.indexOf(at) < least) return;
    if (format === "json") return void write(jsonLine(at, { room, message, time: now() }));
    // A stack has lines of its own; a message of a client's making has none.
    for (const line of at === "error" ? message.split("\n") : [message]) {
      write(textLine(at, room, line));
    }
  };
  return {
    info: (room, message) => log("info", room, message),
    warn: (room, message) => log("warn", room, message),
    error: (room, message) => log("error", room, message),
    bug: (room, error) => log("error", room, stackOf(error)),
  };
}

/** The line of the log that says how many lines stderr did not take. */
export function gapLine(format: LogFormat, lines: number): string {
  const message = `${lines} ${lines === 1 ? "line" : "lines"} of this log could not be written`;
  return format === "json"
    ? jsonLine("warn", { room: "server", message, time: Date.now() })
    : textLine("warn", "server", message);
}

function jsonLine(
  level: Verbosity,
  { room, message, time }: { room: string; message: string; time: number },
): string {
  return JSON.stringify({ time: new Date(time).toISOString(), level, room, message });
}

function textLine(level: Verbosity, room: string, message: string): string {
  const head = paint("stderr", dim, `[${room}]`);
  const text = escapeControls(message);
  switch (level) {
    case "info":
      return `${head} ${text}`;
    case "warn":
      return `${head} ${paint("stderr", yellow, "warning:")} ${text}`;
    case "error":
      return `${head} ${paint("stderr", red, "error:")} ${text}`;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
