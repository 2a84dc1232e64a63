/**
 * The results of many lines on their way to stdout: gathered, noted in the journal where there is one, then
 * printed, in one write a moment later. In the order in which they come, or in that of the lines.
 */

import { OutputError, writeBytes } from "../../../cli/talk.ts";
import type { Journal } from "./journal.ts";
import { LineSet } from "./line_set.ts";

const MAX_GATHERED_CHARS = 64 * 1024;
/** Most writes fit in it, at three bytes a character; a buffer for each would be garbage at once. */
const WRITE_BYTES = 4 * MAX_GATHERED_CHARS;

/** What one line came to. */
export interface LineResult {
  line: number;
  /** To print, without a newline; `undefined`: nothing is told of it, and it is not finished. */
  text: string | undefined;
  /** It has no result. */
  failed: boolean;
}

export interface ResultWriterOptions {
  journal: Journal | undefined;
  /** Called if writing fails in `add`, which never throws. After a failure nothing more is written. */
  onError: (error: unknown) => void;
}

export class ResultWriter {
  readonly #journal: Journal | undefined;
  readonly #onError: (error: unknown) => void;
  readonly #encoder = new TextEncoder();
  readonly #buffer = new Uint8Array(WRITE_BYTES);
  #text = "";
  #lines = new LineSet();
  #failed = 0;
  /** Stdout or the journal takes no more: behind such a gap nothing is told. */
  #isBroken = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ journal, onError }: ResultWriterOptions) {
    this.#journal = journal;
    this.#onError = onError;
  }

  add({ line, text, failed }: LineResult): void {
    if (text === undefined || this.#isBroken) return;
    this.#text += `${text}\n`;
    if (this.#journal) this.#lines.add(line);
    if (failed) this.#failed++;
    if (this.#text.length > MAX_GATHERED_CHARS) this.#tryFlush();
    else this.#timer ??= setTimeout(() => this.#tryFlush(), 0);
  }

  /** Prints what there is; call it once more at the end. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#text === "" || this.#isBroken) return;
    const bytes = this.#encode(this.#text);
    try {
      this.#journal?.tell(this.#lines, { failed: this.#failed, bytes: bytes.length });
      writeBytes("stdout", bytes);
    } catch (error) {
      this.#isBroken = true;
      if (error instanceof OutputError) this.#journal?.untell(error);
      throw error;
    }
    this.#text = "";
    this.#failed = 0;
    if (this.#journal) this.#lines = new LineSet();
  }

  #encode(text: string): Uint8Array {
    if (text.length * 3 > WRITE_BYTES) return this.#encoder.encode(text);
    return this.#buffer.subarray(0, this.#encoder.encodeInto(text, this.#buffer).written);
  }

  #tryFlush(): void {
    try {
      this.flush();
    } catch (error) {
      this.#onError(error);
    }
  }
}

/** Holds results back until those of all lines before them are there. */
export class InOrder {
  readonly #waiting = new Map<number, LineResult>();
  readonly #cutsAtGap: boolean;
  #next = 0;
  #isCut = false;

  /** `cutsAtGap`: behind a line of which nothing is told, nothing is told of others. */
  constructor({ cutsAtGap }: { cutsAtGap: boolean }) {
    this.#cutsAtGap = cutsAtGap;
  }

  /** `turn` counts the lines from 0. Returns those that may be told now, in order. */
  add(turn: number, result: LineResult): LineResult[] {
    this.#waiting.set(turn, result);
    const ready: LineResult[] = [];
    for (;;) {
      const next = this.#waiting.get(this.#next);
      if (!next) return ready;
      this.#waiting.delete(this.#next++);
      if (next.text === undefined && this.#cutsAtGap) this.#isCut = true;
      ready.push(this.#isCut ? { ...next, text: undefined } : next);
    }
  }
}
