/** What is done in a run, drawn from its seed: each round's kill, and what each client says before it. */

import type { Random } from "../fuzz/random.ts";
import { type PlannedTask, TaskMaker } from "./planned_task.ts";

/**
 * What is killed: the server, its worker process, or the server and then the next one as it starts. A stop (`SIGSTOP`)
 * lasts a while, and what was stopped goes on. `engine`: the PostgreSQL or Redis under the server, which starts again at once;
 * `engine-restart`: it is stopped in good order before.
 */
export const KILLS = [
  "server",
  "pool",
  "start-up",
  "server-stop",
  "pool-stop",
  "engine",
  "engine-restart",
] as const;
export type Kill = typeof KILLS[number];

export interface Step {
  /** `again`: the same task, with the id that its client chose, once more. */
  readonly kind: "submit" | "again" | "cancel" | "retry" | "get" | "wait";
  readonly task: PlannedTask;
}

/** Steps that leave in one write. */
export interface Burst {
  readonly pauseMs: number;
  readonly steps: readonly Step[];
}

export interface Round {
  readonly kill: Kill;
  /** From the beginning of the round. */
  readonly killAfterMs: number;
  /** Of `start-up`: from the start of the process. */
  readonly startUpMs: number;
  /** One a client. */
  readonly scripts: readonly (readonly Burst[])[];
}

export interface PlanOptions {
  readonly random: Random;
  readonly rounds: number;
  readonly clients: number;
  readonly kills: readonly Kill[];
  /** Tasks that one client more submits at once in each round: a backlog beyond pages and horizons. */
  readonly backlog?: number;
  /** Starts every id that a client chooses. */
  readonly name: string;
}

/** Longest time from the beginning of a round to its kill; each script lasts as long. */
const MAX_KILL_MS = 600;
/** A worker process that dies younger than a second is followed by the next one later and later. */
const MAX_POOL_KILL_MS = 1500;
const MAX_START_UP_MS = 400;
/** How many of its latest tasks a client asks for. */
const RECENT = 60;
const OTHER_STEPS = ["again", "cancel", "cancel", "retry", "retry", "get", "wait"] as const;

export function* makePlan(options: PlanOptions): Generator<Round> {
  const { random, rounds, clients, kills, name, backlog = 0 } = options;
  // What was drawn for a seed before there were backlogs stays as it was.
  const flood = backlog > 0 ? random.fork() : undefined;
  const maker = new TaskMaker(name);
  const recent: PlannedTask[][] = Array.from({ length: clients }, () => []);
  for (let i = 0; i < rounds; i++) {
    const draw = random.fork();
    const kill = draw.pick(kills);
    yield {
      kill,
      killAfterMs: draw.int(0, kill === "pool" ? MAX_POOL_KILL_MS : MAX_KILL_MS),
      startUpMs: draw.int(0, MAX_START_UP_MS),
      scripts: [
        ...recent.map((tasks) => makeScript(draw.fork(), maker, tasks)),
        ...(flood ? [makeFlood(flood, maker, backlog)] : []),
      ],
    };
  }
}

/** Simple tasks in a few bursts, each of which has tasks with ids and without, in bulk. */
function makeFlood(random: Random, maker: TaskMaker, count: number): Burst[] {
  const bursts: Burst[] = [];
  for (let left = count; left > 0;) {
    const some = Math.min(left, random.int(1, Math.ceil(count / 4)));
    const steps = Array.from({ length: some }, (): Step => ({
      kind: "submit",
      task: maker.makeSimple(random),
    }));
    bursts.push({ pauseMs: random.pick([0, 1, 20]), steps });
    left -= some;
  }
  return bursts;
}

function makeScript(random: Random, maker: TaskMaker, recent: PlannedTask[]): Burst[] {
  const bursts: Burst[] = [];
  for (let ms = 0; ms < MAX_KILL_MS;) {
    const pauseMs = random.chance(0.3) ? 0 : random.int(1, 120);
    const count = random.chance(0.05) ? random.int(10, 40) : random.int(1, 5);
    bursts.push({
      pauseMs,
      steps: Array.from({ length: count }, () => makeStep(random, maker, recent)),
    });
    ms += pauseMs + 1;
  }
  return bursts;
}

function makeStep(random: Random, maker: TaskMaker, recent: PlannedTask[]): Step {
  if (recent.length > 0 && random.chance(0.3)) {
    const kind = random.pick(OTHER_STEPS);
    const task = random.pick(recent);
    if (kind !== "again" || task.options.id !== undefined) return { kind, task };
  }
  const task = maker.make(random, recent);
  recent.push(task);
  if (recent.length > RECENT) recent.shift();
  return { kind: "submit", task };
}
