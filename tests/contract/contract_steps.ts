/** What the tests of the contract say in few words: submit, lease, look. */

import { assertEquals } from "@std/assert";
import type { EndedSink, Engine, Lease, LeasedTask } from "../../server/engine/engine.ts";
import type { FinishedTask } from "../../server/task/task_events.ts";
import { type NewTask, newTask } from "../../server/task/new_task.ts";

export const NOW = 1_800_000_000_000;
export const LEASE_MS = 30_000;
export const OPS = new Set(["square", "echo"]);

export type ContractTest = (engine: Engine, ends: Ends) => Promise<void>;

/** A sink that keeps the ends that an engine reports, as copies, for a test to look at. */
export class Ends {
  #ended: FinishedTask[] = [];
  readonly sink: EndedSink = (tasks) => {
    for (const { id, op, status, attempt, result, error } of tasks) {
      this.#ended.push({ id, op, status, attempt, result, error });
    }
  };

  /** Takes what was reported since the last call. */
  take(): FinishedTask[] {
    return this.#ended.splice(0);
  }

  /** The same, with the ends that `engine` has decided and not committed yet. */
  async committed(engine: Engine): Promise<FinishedTask[]> {
    await engine.get([]);
    return this.take();
  }
}

/** Takes back the leases that run out at `leaseTime`, as the server does of those that nothing holds. */
export async function reclaim(engine: Engine, leaseTime: number, now: number): Promise<Lease[]> {
  const overdue = await engine.overdue(leaseTime);
  await engine.nack(overdue.map((lease) => ({ lease, reason: "lost" as const })), now);
  return overdue;
}

/** A task as a client of this engine would submit it, at `NOW`. */
export function task(
  { serials }: Pick<Engine, "serials">,
  message: Record<string, unknown> = {},
  now = NOW,
): NewTask {
  const whole = { op: "square", n: 4, ...message };
  return newTask(whole, JSON.stringify(whole), { now, serials });
}

export async function submit(engine: Engine, ...tasks: NewTask[]): Promise<string[]> {
  await engine.enqueue(tasks, NOW);
  return tasks.map(({ id }) => id);
}

export async function leaseOne(engine: Engine, now = NOW): Promise<LeasedTask> {
  const tasks = await leaseMany(engine, 1, now);
  assertEquals(tasks.length, 1, "one task was ready to lease");
  return tasks[0]!;
}

/** A leased task that stays as it is: an engine can hand out its own record, which must be read at once. */
export function copyOf(task: LeasedTask): LeasedTask {
  const { id, op, payload, attempt, timeoutMs, lease, after, history } = task;
  return { id, op, payload, attempt, timeoutMs, lease, after, history };
}

/** Copies of up to `limit` leased tasks. */
export async function leaseMany(engine: Engine, limit: number, now = NOW): Promise<LeasedTask[]> {
  const leased: LeasedTask[] = [];
  // An engine may hand out fewer than there are, and more when it is asked again.
  while (leased.length < limit) {
    const request = { ops: OPS, limit: limit - leased.length, leaseUntil: now + LEASE_MS };
    const { tasks } = await engine.lease(request, now);
    if (tasks.length === 0) break;
    leased.push(...tasks.map(copyOf));
  }
  return leased;
}

/** The lease of the one suspect there is. */
export async function leaseSuspect(engine: Engine): Promise<Lease> {
  const request = { ops: OPS, limit: 1, leaseUntil: NOW + LEASE_MS, suspects: true };
  const { tasks } = await engine.lease(request, NOW);
  assertEquals(tasks.length, 1, "one suspect was queued");
  return tasks[0]!.lease;
}

export async function leaseIds(engine: Engine, limit = 100, now = NOW): Promise<string[]> {
  return (await leaseMany(engine, limit, now)).map(({ id }) => id);
}

export async function statusOf(engine: Engine, id: string) {
  const [record] = await engine.get([id]);
  return record?.status;
}

export const FAILED = { code: "task_error", message: "no" } as const;
