/**
 * `deno task crash`: kills a server many times, and reports whether it lost anything. `--seed` repeats a run. With
 * `--engine postgres` or `--engine redis` it starts one of its own, which `--kills engine,engine-restart` kill, too.
 */

import { parseArgs } from "@std/cli/parse-args";
import { print, say } from "../../cli/talk.ts";
import { OwnPostgres, OwnRedis } from "../kit/services.ts";
import { crashRun } from "./crash_run.ts";
import { type Kill, KILLS } from "./plan.ts";

/** Rounds on one store; then the oracle judges, and the next store begins. */
const ROUNDS_A_STORE = 100;

const flags = parseArgs(Deno.args, {
  string: ["rounds", "seed", "kills", "engine", "durability", "backlog", "stop-ms"],
});

function count(name: string, fallback: number): number {
  const value = Number(flags[name] ?? fallback);
  if (Number.isInteger(value) && value >= 0) return value;
  say(`--${name} is a whole number; this is ${String(flags[name])}`);
  Deno.exit(2);
}

function text(name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" ? value : undefined;
}

function readKills(): Kill[] {
  const names = (text("kills") ?? "server,server,server,pool,start-up").split(",");
  if (names.every((name): name is Kill => KILLS.includes(name as Kill))) return names;
  say(`--kills names some of ${KILLS.join(",")}; this is ${text("kills")}`);
  Deno.exit(2);
}

/** The service that `--engine` names, of this run's own. */
async function startService(name: string | undefined) {
  if (name === "postgres") return await OwnPostgres.start();
  if (name === "redis") return await OwnRedis.start({ appendfsync: "always" });
  return undefined;
}

const rounds = count("rounds", 200);
const seed = count("seed", Date.now() % 2 ** 31);
const backlog = count("backlog", 0);
const stopMs = count("stop-ms", 1000);
const kills = readKills();
const durability = text("durability");
const service = await startService(text("engine"));
const engine = service?.url ?? text("engine");
const totals = new Map<string, number>();
const add = (name: string, count: number) => totals.set(name, (totals.get(name) ?? 0) + count);

/** The part of the URL that keeps runs apart. */
function place(storeSeed: number): string {
  return service instanceof OwnPostgres ? `schema=crash${storeSeed}` : `name=crash${storeSeed}`;
}

print(`seed ${seed}`);
let faults = 0;
for (let done = 0; done < rounds; done += ROUNDS_A_STORE) {
  const storeSeed = seed + done / ROUNDS_A_STORE;
  const some = Math.min(ROUNDS_A_STORE, rounds - done);
  try {
    const { book, records, kills: killed } = await crashRun({
      seed: storeSeed,
      rounds: some,
      kills,
      backlog,
      stopMs,
      // Each run has a schema or keys of its own.
      ...(engine === undefined
        ? {}
        : { engine: service ? `${engine}?${place(storeSeed)}` : engine }),
      ...(service ? { service } : {}),
      ...(durability === undefined ? {} : { more: [`--durability=${durability}`] }),
      onRound(round, { faults }) {
        if (round % 20 === 0) say(`${done + round} rounds, ${faults.total} faults`);
      },
    });
    for (const [kill, times] of killed) add(`kills: ${kill}`, times);
    for (const [kind, times] of book.asked) add(`asked: ${kind}`, times);
    for (const [code, times] of book.refusals) add(`refused: ${code}`, times);
    add("records", records);
    add("acknowledged", [...book.accounts.values()].filter((it) => it.acknowledged).length);
    faults += book.faults.total;
    for (const line of book.faults.lines()) print(`FAULT ${line}`);
    if (book.faults.total > 0) print(`run it again with --seed ${storeSeed} --rounds ${some}`);
  } catch (error) {
    faults++;
    print(`FAULT ${error instanceof Error ? error.stack : String(error)}`);
    print(`run it again with --seed ${storeSeed} --rounds ${some}`);
  }
}
for (const [name, times] of totals) print(`${String(times).padStart(12)}  ${name}`);
print(`${faults} faults in ${rounds} rounds`);
await service?.[Symbol.asyncDispose]();
if (faults > 0) Deno.exit(1);
