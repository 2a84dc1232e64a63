/**
 * The results of many lines on their way to stdout: noted in the journal if there is one, then printed. They come
 * in the order in which tasks end, or in the order of the lines.
 */

import { OutputLines } from "../base/output.ts";
import type { SubmitJournal } from "./journal.ts";
import { LineSet } from "./line_set.ts";

/** The result of one line. */
export interface LineResult {
  line: number;
  /** The text to print, without a newline; `undefined` prints nothing and leaves the line unfinished. */
  text: string | undefined;
  /** The line has no result. */
  failed: boolean;
}

interface ResultPrinterOptions {
  journal: SubmitJournal | undefined;
  /** Called if writing fails in `add`, which never throws. After a failure nothing more is written. */
  onError: (error: unknown) => void;
}

export class ResultPrinter {
  readonly #journal: SubmitJournal | undefined;
  readonly #writer: OutputLines;
  #lines = new LineSet();
  #failed = 0;

  constructor({ journal, onError }: ResultPrinterOptions) {
    this.#journal = journal;
    this.#writer = new OutputLines({
      onError,
      announce: (bytes) => this.#announce(bytes),
      withdraw: (error) => journal?.withdraw(error),
    });
  }

  add({ line, text, failed }: LineResult): void {
    if (text === undefined || this.#writer.isBroken) return;
    if (this.#journal) this.#lines.add(line);
    if (failed) this.#failed++;
    this.#writer.add(text);
  }

  /** Prints all gathered results; call it once more at the end. */
  flush(): void {
    this.#writer.flush();
  }

  #announce(bytes: number): void {
    const failed = this.#failed;
    this.#failed = 0;
    if (!this.#journal) return;
    const lines = this.#lines;
    this.#lines = new LineSet();
    this.#journal.announce(lines, { failed, bytes });
  }
}

/** Holds back each result until the results of all lines before it are there. */
export class InOrder {
  readonly #waiting = new Map<number, LineResult>();
  readonly #cutsAtGap: boolean;
  #next = 0;
  #isCut = false;

  /** With `cutsAtGap` no result is printed after a line without a text. */
  constructor({ cutsAtGap }: { cutsAtGap: boolean }) {
    this.#cutsAtGap = cutsAtGap;
  }

  /** Adds the result of line `turn`, counted from 0. Returns the results that can be printed now, in order. */
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
