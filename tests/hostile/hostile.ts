/** `deno task hostile`: hostile tasks among good ones, round after round. `--seed` repeats a run. */

import { parseArgs } from "@std/cli/parse-args";
import { print, say } from "../../cli/talk.ts";
import { hostileRun } from "./hostile_run.ts";

const flags = parseArgs(Deno.args, { string: ["rounds", "good", "seed", "workers"] });

function count(name: string, fallback: number): number {
  const value = Number(flags[name] ?? fallback);
  if (Number.isInteger(value) && value >= 0) return value;
  say(`--${name} is a whole number; this is ${String(flags[name])}`);
  Deno.exit(2);
}

const seed = count("seed", Date.now() % 2 ** 31);
print(`seed ${seed}`);
const { faults, good, hostile, worstAnswerMs, answers } = await hostileRun({
  seed,
  rounds: count("rounds", 20),
  goodTasks: count("good", 1000),
  workers: count("workers", 2),
  onRound: (round) => say(`${round} rounds`),
});
for (const fault of faults) print(`FAULT ${fault}`);
print(`${good} good tasks and ${hostile} hostile ones, ${faults.length} faults`);
print(`${answers} answers of the server meanwhile, the slowest in ${worstAnswerMs.toFixed(1)} ms`);
if (faults.length > 0) Deno.exit(1);
