/** Workers of one pool that have to be replaced, over and over, for every reason that there is. */

import { TestPool } from "../kit/test_pool.ts";
import { type Footprint, PARTS, settledFootprintOf } from "./footprint.ts";

const MIB = 1024 * 1024;
const WORKERS = 4;
/** Of tasks; most of them cost their worker. */
const ROUND = 40;

/** One of each kind in turn; the last is quick, and so comes most often. */
function taskOf(n: number): { op: string; timeout?: number; [arg: string]: unknown } {
  if (n % ROUND === 7) return { op: "never", timeout: 50 };
  if (n % ROUND === 17) return { op: "hoard_slowly", kind: "heap", mib: 500, ms: 60_000 };
  if (n % ROUND === 27) return { op: "stray" };
  if (n % ROUND === 37) return { op: "square", n };
  return { op: "leak", kind: n % 2 === 0 ? "heap" : "buffer", mib: 20 };
}

/** The footprint of this process after each part of the replacements. */
export async function soakWorkers(replacements: number): Promise<Footprint[]> {
  using test = new TestPool(WORKERS, { maxMemoryBytes: 32 * MIB });
  const footprints: Footprint[] = [];
  for (let n = 0; footprints.length < PARTS;) {
    const tasks = Array.from({ length: ROUND }, () => taskOf(n++));
    for (const lease of test.run(...tasks)) await test.endOf(lease);
    test.reports.length = 0;
    const replaced = test.workersStarted - WORKERS;
    if (replaced >= replacements * (footprints.length + 1) / PARTS) {
      footprints.push(await settledFootprintOf(Deno.pid));
    }
  }
  return footprints;
}
