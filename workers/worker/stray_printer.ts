/**
 * What task code prints while no task runs: when its file is loaded, or from something that a task has left. It
 * belongs to no task's log, and goes to the parent of the process, within bounds.
 */

import { cutText } from "../bridge/log_text.ts";
import { min, now } from "../primordials.ts";

const MAX_CHARS = 1000;
/** Texts that a worker may print at once, */
const BURST = 20;
/** and texts for each ms after that. */
const PER_MS = 10 / 1000;

/** A printer that hands on to `report` as much as may be, and how much it left out. */
export function strayPrinter(report: (text: string) => void): (text: string) => void {
  let budget = BURST;
  let budgetAt = now();
  let leftOut = 0;
  return (text) => {
    const clock = now();
    budget = min(BURST, budget + (clock - budgetAt) * PER_MS);
    budgetAt = clock;
    if (budget < 1) {
      leftOut++;
      return;
    }
    budget--;
    if (leftOut > 0) report(`(${leftOut} more were left out)`);
    leftOut = 0;
    report(cutText(text, MAX_CHARS));
  };
}
