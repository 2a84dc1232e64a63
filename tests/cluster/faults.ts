/**
 * The table of faults: `deno task faults [KIND=TIMES …]`, such as `"kill -9 leader=100"`. Without arguments each kind happens as
 * often as the table asks, under 20 clients with a task each and under 8 with 128. Prints a row for each, and ends with 1 if
 * any task was lost, ended twice, or ended wrong.
 */

import { FAULT_KINDS, type FaultKind } from "./fault_kinds.ts";
import { runFaults } from "./faults_run.ts";

const LOADS = [{ clients: 20, inFlight: 1 }, { clients: 8, inFlight: 128 }];

function chosen(args: readonly string[]): [FaultKind, number][] {
  if (args.length === 0) return FAULT_KINDS.map((kind) => [kind, kind.times]);
  return args.map((arg) => {
    const [name, times] = arg.split("=");
    const kind = FAULT_KINDS.find((kind) => kind.name === name);
    if (!kind) {
      throw new Error(
        `no fault is called ${arg}: ${FAULT_KINDS.map(({ name }) => name).join(", ")}`,
      );
    }
    return [kind, Number(times ?? kind.times)];
  });
}

const print = (...cells: readonly (string | number)[]) =>
  // deno-lint-ignore no-console
  console.log(cells.map((cell, i) => String(cell).padEnd(i === 0 ? 34 : 10)).join(""));

let isBad = false;
print(
  "fault",
  "load",
  "times",
  "tasks",
  "lost",
  "twice",
  "wrong",
  "failed",
  "again",
  "gap ms",
  "median",
  "asked",
);
for (const [kind, times] of chosen(Deno.args)) {
  for (const load of LOADS) {
    for (const lastsMs of kind.lastsMs ?? [0]) {
      const report = await runFaults({ kind, times, lastsMs, load });
      const gaps = report.gapsMs.toSorted((a, b) => a - b);
      const { tasks, lost, twice, wrong, failed, runsAgain } = report;
      const name = lastsMs > 0 ? `${kind.name} ${lastsMs / 1000} s` : kind.name;
      print(
        name,
        `${load.clients} x ${load.inFlight}`,
        times,
        tasks,
        lost,
        twice,
        wrong,
        failed,
        runsAgain,
        gaps.at(-1) ?? 0,
        gaps[Math.floor(gaps.length / 2)] ?? 0,
        kind.gapMs,
      );
      for (const note of report.notes) print(`  ${note}`);
      isBad ||= lost + twice + wrong + failed > 0;
    }
  }
}
Deno.exit(isBad ? 1 : 0);
