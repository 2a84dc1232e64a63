/**
 * The server's talk: one line each on stderr, `[room] what happened`, control characters escaped so
 * that nothing a client sent can forge a line or move the cursor.
 */

import { dim, red, yellow } from "@std/fmt/colors";
import { escapeControls, paint, say } from "../cli/talk.ts";

export interface Log {
  info(room: string, message: string): void;
  warn(room: string, message: string): void;
  /** An unexpected error, with its stack. */
  bug(room: string, error: unknown): void;
}

export function openLog(): Log {
  const line = (room: string, message: string) =>
    say(`${paint("stderr", dim, `[${room}]`)} ${message}`);
  return {
    info: (room, message) => line(room, escapeControls(message)),
    warn: (room, message) =>
      line(room, `${paint("stderr", yellow, "warning:")} ${escapeControls(message)}`),
    bug(room, error) {
      const text = error instanceof Error ? error.stack ?? error.message : String(error);
      for (const part of text.split("\n")) {
        line(room, `${paint("stderr", red, "error:")} ${escapeControls(part)}`);
      }
    },
  };
}
