/** The progress bar of many lines on the last line of a terminal: done, rate, failed, time left. */

import { BarTerminal, SingleBar } from "cli-progress";
import { type Footer, setFooter, writeBelow } from "../../../cli/talk.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { withCommas } from "../base/table.ts";

/** Time between two updates, in ms. */
const LOOK_MS = 250;
/** Updates that the rate is measured over: five seconds. */
const RATE_LOOKS = 20;
const DEFAULT_COLUMNS = 80;
const HEAD = "[client] ";
const COUNTS = "{done} done, {rate}/s{failed}{left}";

/** The progress of a run. */
export interface Stand {
  /** Lines that have ended. */
  done: number;
  /** Number of these without a result. */
  failed: number;
  /** Estimated number of all lines; `undefined` if unknown. */
  total: number | undefined;
}

export class ProgressBar implements Disposable {
  readonly #look: () => Stand;
  readonly #bar: SingleBar;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Time and number of ended lines at each update. */
  readonly #looks: [ms: number, done: number][] = [];

  /** Draws the progress that `look` returns, until it is disposed. */
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
      // Other output erases the bar.
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

/** The last line of stderr. The cursor stays on it while results and talk scroll above. */
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

  // The library would move the cursor to the place of the first drawing.
  cursorSave(): void {}
  cursorRestore(): void {}
  cursor(): void {}
  lineWrapping(): void {}

  isTTY(): boolean {
    return true;
  }

  getWidth(): number {
    try {
      // A terminal without a size has 0.
      return Deno.consoleSize().columns || DEFAULT_COLUMNS;
    } catch {
      return DEFAULT_COLUMNS;
    }
  }

  #put(text: string): void {
    writeBelow("stderr", this.#encoder.encode(text));
  }
}
