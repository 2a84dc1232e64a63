/** The progress of many lines on the last line of a terminal: how far, how fast, how many failed, how long yet. */

import { BarTerminal, SingleBar } from "cli-progress";
import { type Footer, setFooter, writeBelow } from "../../../cli/talk.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { withCommas } from "../base/table.ts";

const LOOK_MS = 250;
/** The rate is that of the last five seconds. */
const RATE_LOOKS = 20;
const DEFAULT_COLUMNS = 80;
const HEAD = "[client] ";
const COUNTS = "{done} done, {rate}/s{failed}{left}";

/** How far a run is. */
export interface Stand {
  /** Lines that have come to an end. */
  done: number;
  /** Of these, those without a result. */
  failed: number;
  /** Lines in all, as far as that can be known; `undefined` where it cannot. */
  total: number | undefined;
}

export class Progress implements Disposable {
  readonly #look: () => Stand;
  readonly #bar: SingleBar;
  readonly #timer: ReturnType<typeof setInterval>;
  /** When, and how many were done then. */
  readonly #looks: [ms: number, done: number][] = [];

  /** Draws what `look` says until it is disposed of. */
  constructor(look: () => Stand) {
    this.#look = look;
    const stand = look();
    const bar = stand.total === undefined ? "" : "{bar} {percentage}%  ";
    const line = new LastLine();
    this.#bar = new SingleBar({
      terminal: line,
      format: `${HEAD}${bar}${COUNTS}`,
      barsize: 24,
      barCompleteChar: "█",
      barIncompleteChar: "░",
      fps: 1000 / LOOK_MS,
      clearOnComplete: true,
      // What is written to the terminal in between erases it.
      forceRedraw: true,
      emptyOnZero: true,
    });
    setFooter(line);
    this.#looks.push([performance.now(), stand.done]);
    this.#bar.start(stand.total ?? 0, stand.done, this.#texts(stand));
    this.#timer = setInterval(() => this.#update(), LOOK_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#bar.stop();
    setFooter(undefined);
  }

  #update(): void {
    const stand = this.#look();
    this.#looks.push([performance.now(), stand.done]);
    if (this.#looks.length > RATE_LOOKS) this.#looks.shift();
    this.#bar.setTotal(stand.total ?? 0);
    this.#bar.update(stand.done, this.#texts(stand));
  }

  #texts({ done, failed, total }: Stand): Record<string, string> {
    const [then = 0, doneThen = 0] = this.#looks[0] ?? [];
    const perMs = (done - doneThen) / Math.max(performance.now() - then, 1);
    const leftMs = perMs > 0 && total !== undefined ? Math.max(total - done, 0) / perMs : undefined;
    return {
      done: withCommas(done),
      rate: withCommas(Math.round(perMs * 1000)),
      failed: failed > 0 ? `, ${withCommas(failed)} failed` : "",
      left: leftMs === undefined ? "" : `, ${formatDuration(Math.ceil(leftMs / 1000) * 1000)} left`,
    };
  }
}

/** The last line of stderr. The cursor stays on it: results and talk may scroll by above. */
class LastLine implements BarTerminal, Footer {
  readonly #encoder = new TextEncoder();

  erase(): void {
    this.#put("\r\x1b[K");
  }

  write(text: string): void {
    this.#put(text.slice(0, this.getWidth() - 1));
  }

  cursorTo(): void {
    this.#put("\r");
  }

  clearRight(): void {
    this.#put("\x1b[K");
  }

  clearLine(): void {
    this.erase();
  }

  newline(): void {
    this.#put("\n");
  }

  // The library would put the cursor back to where the bar was first drawn.
  cursorSave(): void {}
  cursorRestore(): void {}
  cursor(): void {}
  lineWrapping(): void {}

  isTTY(): boolean {
    return true;
  }

  getWidth(): number {
    try {
      // A terminal that does not know its size has 0.
      return Deno.consoleSize().columns || DEFAULT_COLUMNS;
    } catch {
      return DEFAULT_COLUMNS;
    }
  }

  #put(text: string): void {
    writeBelow("stderr", this.#encoder.encode(text));
  }
}
