/**
 * The table of faults: `deno task faults [KIND=TIMES …]`, such as `"kill -9 leader=100"`. Without arguments each kind happens as
 * often as the table asks, on PostgreSQL and on Redis, under 20 clients with a task each and under 8 with 128. Prints a row
 * for each, and ends with 1 if any task was lost, ended twice, or ended wrong. Nothing is left of a run that is killed.
 */

import { FAULT_KINDS, type FaultKind, type StoreName } from "./fault_kinds.ts";
import { type FaultRunOptions, runFaults } from "./faults_run.ts";

const STORES: readonly StoreName[] = ["postgres", "redis"];
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
  console.log(cells.map((cell, i) => String(cell).padEnd(i === 0 ? 42 : 10)).join(""));

/**
 * Waits for the end of this process, however it ends; then kills what it has left, which it knows by a variable in their
 * environment, and removes its files.
 */
const CLEANER = `
trap "" INT TERM HUP
cat >/dev/null
for _ in 1 2 3; do
  for one in /proc/[0-9]*; do
    pid=\${one#/proc/}
    [ "$pid" = $$ ] || ! grep -qszx "SD_FAULTS_RUN=$0" "$one/environ" || kill -s KILL "$pid"
  done 2>/dev/null
  sleep 0.2
done
rm -rf "$1"`;

/** From now on nothing outlasts this process. */
function startCleaner(): void {
  const run = crypto.randomUUID();
  const folder = Deno.makeTempDirSync({ prefix: "sd-faults-" });
  // Services have users of their own.
  Deno.chmodSync(folder, 0o711);
  new Deno.Command("sh", {
    args: ["-c", CLEANER, run, folder],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn().unref();
  Deno.env.set("SD_FAULTS_RUN", run);
  Deno.env.set("TMPDIR", folder);
}

startCleaner();
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
  for (const store of kind.stores ?? STORES) {
    for (const load of LOADS) {
      for (const lastsMs of kind.lastsMs ?? [0]) await row({ kind, store, times, load, lastsMs });
    }
  }
}
Deno.exit(isBad ? 1 : 0);

async function row(options: FaultRunOptions & { readonly lastsMs: number }): Promise<void> {
  const { kind, store, times, load, lastsMs } = options;
  const report = await runFaults(options);
  const gaps = report.gapsMs.toSorted((a, b) => a - b);
  const { tasks, lost, twice, wrong, failed, runsAgain } = report;
  const name = lastsMs > 0 ? `${kind.name} ${lastsMs / 1000} s` : kind.name;
  print(
    `${name}, ${store}`,
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
