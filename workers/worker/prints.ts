/** Where what `console` prints goes: into the log of the task that runs, and where there is none, to nobody's. */

import type { LogLevel } from "../../protocol/task.ts";
import type { PrintTarget } from "./console_capture.ts";

export class Prints implements PrintTarget {
  /** Knows the task that runs; there is none before it. */
  loop: PrintTarget | undefined = undefined;
  /** Takes what no task has said. */
  stray: (text: string) => void = () => {};

  get run(): number {
    return this.loop ? this.loop.run : 0;
  }

  print(level: LogLevel, text: string): void {
    if (this.loop) this.loop.print(level, text);
    else this.stray(text);
  }
}
