/**
 * Every state of a task with two workers that can hold it and two clients that can wait for it. The states are found by
 * trying every event in every state. The events go through the server's own `transition`; the rules are checked here after
 * each of them. `system_model.ts` puts tasks together.
 */

import { assert, assertEquals } from "@std/assert";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { isFinal } from "../../protocol/task.ts";
import {
  initialState,
  type TaskEvent,
  type TaskState,
  transition,
} from "../../server/task/transition.ts";

export const WORKERS = 2;
export const CLIENTS = 2;
/** The option of every task of the model: one failure may be followed by another attempt. */
const ATTEMPTS = 2;

/** Leases get these numbers, so that states that differ by numbers only are the same. */
const LIVE = 1, LOST = 2, NEXT = 3;

/** One task with all that concerns it. */
export interface Life {
  /** `undefined` before it is submitted. */
  readonly task: TaskState | undefined;
  /** By worker: the leases under which it runs the task, as it believes. */
  readonly held: readonly (readonly number[])[];
  /** By client: it waits for the end of the task. */
  readonly waits: readonly boolean[];
}

export interface Step {
  readonly event: string;
  readonly next: Life;
}

const NOBODY: readonly (readonly number[])[] = Array.from({ length: WORKERS }, () => []);

export const UNBORN: Life = {
  task: undefined,
  held: NOBODY,
  waits: Array.from({ length: CLIENTS }, () => false),
};

/** Two lives with the same text are the same. */
export function textOf(life: Life): string {
  return JSON.stringify(life);
}

/** Everything that can happen to this task by itself. */
export function* steps(life: Life): Generator<Step> {
  yield* clientSteps(life);
  const { task } = life;
  if (!task) return;
  yield* simpleStep(life, { type: "due" });
  yield* simpleStep(life, { type: "expire" });
  for (let worker = 0; worker < WORKERS; worker++) {
    const leased = apply(task, { type: "lease", lease: NEXT });
    if (leased) {
      yield { event: `lease to ${worker}`, next: settled(life, leased, hold(life, worker, NEXT)) };
    }
    for (const lease of life.held[worker]!) yield* workerSteps(life, task, worker, lease);
  }
}

/** A worker process dies: its connection ends, every lease that it held with it. */
export function afterDeath(life: Life, worker: number): Life {
  if (!life.task) return life;
  let { task } = life;
  for (const lease of life.held[worker]!) task = apply(task, { type: "die", lease }) ?? task;
  return settled(life, task, life.held.map((leases, at) => at === worker ? [] : leases));
}

/** The server dies and starts again: no worker holds anything, and the clients wait again. */
export function afterCrash(life: Life): Life {
  if (!life.task) return life;
  return settled(life, apply(life.task, { type: "restart" }) ?? life.task, NOBODY);
}

/** The same life with workers, or clients, the other way round. */
export function mirrored(life: Life, what: "workers" | "clients"): Life {
  return what === "workers"
    ? { ...life, held: life.held.toReversed() }
    : { ...life, waits: life.waits.toReversed() };
}

function* clientSteps(life: Life): Generator<Step> {
  const { task, waits } = life;
  for (let client = 0; client < CLIENTS; client++) {
    const waiting = waits.with(client, true);
    if (!task) {
      for (const delayed of [false, true]) {
        const event = `client ${client} submits${delayed ? " with a delay" : ""}`;
        yield { event, next: { ...life, task: initialState(delayed), waits: waiting } };
      }
    } else if (!isFinal(task.status) && !waits[client]) {
      yield { event: `client ${client} waits`, next: { ...life, waits: waiting } };
    }
  }
  if (!task) return;
  yield* simpleStep(life, { type: "cancel" });
  yield* simpleStep(life, { type: "retry" });
}

function* simpleStep(life: Life, event: TaskEvent): Generator<Step> {
  const next = apply(life.task!, event);
  if (next) yield { event: event.type, next: settled(life, next, life.held) };
}

/** What a worker may say of a lease that it believes to have, and the server's taking it back. */
function* workerSteps(
  life: Life,
  task: TaskState,
  worker: number,
  lease: number,
): Generator<Step> {
  const reports: TaskEvent[] = [
    { type: "complete", lease },
    { type: "fail", lease, again: task.attempt < ATTEMPTS },
    { type: "fail", lease, again: false },
    { type: "stop", lease },
    { type: "release", lease },
  ];
  const dropped = life.held.with(worker, life.held[worker]!.filter((held) => held !== lease));
  for (const report of reports) {
    const next = apply(task, report);
    if (lease === LOST) assertEquals(next, undefined, "a report under a lost lease is refused");
    yield {
      event: `worker ${worker} reports ${report.type}${lease === LOST ? " too late" : ""}`,
      next: settled(life, next ?? task, dropped),
    };
  }
  // Silent for too long: the task is taken from it, and it does not know.
  const reclaimed = apply(task, { type: "lose", lease });
  if (reclaimed) yield { event: "reclaim", next: settled(life, reclaimed, life.held) };
  // It has been told: it drops the task and says nothing.
  else yield { event: "lease reported as lost", next: settled(life, task, dropped) };
}

function hold(life: Life, worker: number, lease: number): readonly (readonly number[])[] {
  return life.held.with(worker, [...life.held[worker]!, lease]);
}

/** `transition`, with everything checked that must hold of one event. */
function apply(task: TaskState, event: TaskEvent): TaskState | undefined {
  const next = transition(task, event);
  if (!next) return undefined;
  const told = `${JSON.stringify(task)} after ${JSON.stringify(event)}: ${JSON.stringify(next)}`;
  if (isFinal(task.status)) assertEquals(event.type, "retry", told);
  assert(next.attempt >= 0 && next.attempt <= ATTEMPTS, `attempts: ${told}`);
  assert(next.deaths >= 0 && next.deaths <= MAX_DEATHS, `deaths: ${told}`);
  assert(next.deaths < MAX_DEATHS || isFinal(next.status), `the last death is the end: ${told}`);
  assertEquals(
    next.status === "running",
    next.lease !== 0,
    `a lease is held by what runs: ${told}`,
  );
  assert(!next.cancelling || next.status === "running", `only what runs is stopped: ${told}`);
  // A server that dies has not acknowledged the cancel: its client asks again.
  if (task.cancelling && next.status !== "running" && event.type !== "restart") {
    assert(["cancelled", "completed"].includes(next.status), `it must be cancelled: ${told}`);
  }
  if (event.type === "retry") {
    assert(task.status !== "completed", told);
    assertEquals(next, initialState(false), "it runs again as if it were new");
  }
  return next;
}

/** The life after an event: each waiting client gets an end once; numbers of leases start again. */
function settled(life: Life, task: TaskState, held: Life["held"]): Life {
  const live = held.flat().filter((lease) => lease === task.lease);
  assertEquals(live.length, task.status === "running" ? 1 : 0, "one live lease while it runs");
  const isOver = isFinal(task.status);
  const lease = task.lease === 0 ? 0 : LIVE;
  return {
    // What a final task was before plays no part any more.
    task: isOver ? { ...initialState(false), status: task.status } : { ...task, lease },
    // To hold several lost leases of one task is like holding one of them.
    held: held.map((leases) =>
      [...new Set(leases.map((one) => one === task.lease ? LIVE : LOST))].sort()
    ),
    waits: isOver ? life.waits.map(() => false) : life.waits,
  };
}
