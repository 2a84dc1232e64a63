/**
 * The terminal as a full screen: keys in, lines out. When it is closed, and at any end of the process except SIGKILL,
 * the terminal is as it was before. Only changed lines are written.
 */

import { OutputError, write } from "../../../cli/talk.ts";
import { fit } from "./text.ts";

export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** Receives the events of the terminal until it is closed. */
export interface TerminalUser {
  key(key: Key): void;
  resized(): void;
  /** No key will follow: a signal has come, or the terminal was closed. */
  ended(by: "signal" | "hangup"): void;
}

type Look = "plain" | "bold" | "dim" | "red" | "yellow" | "selected";

/** A line of the screen. */
export interface ScreenLine {
  readonly text: string;
  readonly look?: Look;
}

const SGR: Record<Look, string> = {
  plain: "",
  bold: "\x1b[1m",
  dim: "\x1b[2m",
  red: "\x1b[31m",
  yellow: "\x1b[33m",
  selected: "\x1b[7m",
};
/** Alternate screen, no cursor, no line wrapping. */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/** Begin and end of a synchronized update, for terminals that support it. */
const [BEGIN, END] = ["\x1b[?2026h", "\x1b[?2026l"];

const DEFAULT_SIZE: Size = { rows: 24, columns: 80 };

export class Terminal implements Disposable {
  readonly #user: TerminalUser;
  readonly #undo: (() => void)[] = [];
  #drawn: string[] = [];
  #size: Size = { rows: 0, columns: 0 };

  /** Takes over the terminal; both stdin and stdout must be terminals. */
  constructor(user: TerminalUser) {
    this.#user = user;
    try {
      this.#open();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get size(): Size {
    try {
      const { rows, columns } = Deno.consoleSize();
      // A terminal without a size has 0.
      return { rows: rows || DEFAULT_SIZE.rows, columns: columns || DEFAULT_SIZE.columns };
    } catch {
      return DEFAULT_SIZE;
    }
  }

  /** Shows `lines` from the top, as many as fit. */
  draw(lines: readonly ScreenLine[]): void {
    if (this.#undo.length === 0) return;
    const { rows, columns } = this.size;
    let text = "";
    if (rows !== this.#size.rows || columns !== this.#size.columns) {
      this.#size = { rows, columns };
      this.#drawn = [];
      text += "\x1b[2J";
    }
    for (let row = 0; row < rows; row++) {
      const { text: plain, look = "plain" } = lines[row] ?? { text: "" };
      const sgr = Deno.noColor && look !== "selected" ? "" : SGR[look];
      // Padded with spaces: erasing the rest of a full line would erase its last character.
      const line = `${sgr}${fit(plain, columns)}${sgr === "" ? "" : "\x1b[0m"}`;
      if (line === this.#drawn[row]) continue;
      this.#drawn[row] = line;
      text += `\x1b[${row + 1};1H${line}`;
    }
    if (text !== "") this.#put(`${BEGIN}${text}${END}`);
  }

  /** Restores the terminal. Can be called twice. */
  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }

  #open(): void {
    const restore = () => this[Symbol.dispose]();
    for (const event of ["error", "unhandledrejection", "unload"]) {
      this.#during(
        () => globalThis.addEventListener(event, restore),
        () => globalThis.removeEventListener(event, restore),
      );
    }
    this.#onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => this.#user.ended("signal"));
    this.#onSignals(["SIGWINCH"], () => this.#user.resized());
    this.#during(() => Deno.stdin.setRaw(true), leaveRawMode);
    this.#during(() => this.#put(ENTER), () => this.#put(LEAVE));
    void this.#read();
  }

  #onSignals(signals: readonly Deno.Signal[], listener: () => void): void {
    for (const signal of signals) {
      // Windows has only this one; its size is read at each draw.
      if (Deno.build.os === "windows" && signal !== "SIGINT") continue;
      this.#during(
        () => Deno.addSignalListener(signal, listener),
        () => Deno.removeSignalListener(signal, listener),
      );
    }
  }

  #during(begin: () => void, undo: () => void): void {
    begin();
    this.#undo.push(undo);
  }

  #put(text: string): void {
    try {
      write("stdout", text);
    } catch (error) {
      if (!(error instanceof OutputError)) throw error;
      this.#user.ended("hangup");
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(1024);
    try {
      for (;;) {
        const count = await Deno.stdin.read(buffer);
        if (this.#undo.length === 0) return;
        if (count === null) break;
        const text = decoder.decode(buffer.subarray(0, count), { stream: true });
        for (const key of readKeys(text)) this.#user.key(key);
      }
    } catch {
      // The terminal was closed.
    }
    this.#user.ended("hangup");
  }
}

function leaveRawMode(): void {
  try {
    Deno.stdin.setRaw(false);
  } catch {
    // The terminal was closed.
  }
}

export type Key =
  | "up"
  | "down"
  | "page_up"
  | "page_down"
  | "home"
  | "end"
  | "enter"
  | "escape"
  | "backspace"
  | "interrupt"
  /** A typed character. */
  | { readonly char: string };

/** Escape sequences and control characters of keys. */
const SEQUENCES: ReadonlyMap<string, Key> = new Map<string, Key>([
  ["\x1b[A", "up"],
  ["\x1bOA", "up"],
  ["\x1b[B", "down"],
  ["\x1bOB", "down"],
  ["\x1b[5~", "page_up"],
  ["\x1b[6~", "page_down"],
  ["\x1b[H", "home"],
  ["\x1bOH", "home"],
  ["\x1b[1~", "home"],
  ["\x1b[F", "end"],
  ["\x1bOF", "end"],
  ["\x1b[4~", "end"],
  ["\r", "enter"],
  ["\n", "enter"],
  ["\x1b", "escape"],
  ["\x7f", "backspace"],
  ["\b", "backspace"],
  ["\x03", "interrupt"],
]);

/** An escape sequence, known or not, or one character. */
// deno-lint-ignore no-control-regex
const PIECE = /\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[A-Za-z]|[^]/gu;

/** The keys in `text`, the bytes of one read. Unknown sequences are left out. */
export function readKeys(text: string): Key[] {
  return [...text.matchAll(PIECE)].flatMap(([piece]) => {
    const key = SEQUENCES.get(piece);
    if (key !== undefined) return [key];
    // deno-lint-ignore no-control-regex
    return /^[\x00-\x1f\x7f]/.test(piece) ? [] : [{ char: piece }];
  });
}
