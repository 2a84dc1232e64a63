/**
 * A worker process on its connection: leased tasks out, reports in. This is what the dispatcher knows
 * as a `Runner`. It keeps which leases the process holds, and when the connection ends it says what
 * became of them: the doomed ones have their verdict, the others run again.
 */

import { SdError } from "../../protocol/errors.ts";
import { MAX_CREDIT, MAX_OP_CHARS, MAX_WORKERS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Line } from "../../protocol/ndjson.ts";
import type { Progress } from "../../protocol/task.ts";
import {
  leasedTaskLine,
  leaseOf,
  type PoolReport,
  resultOf,
  type ServerOrder,
  type StopReason,
  WORK_VERSION,
  type WorkHello,
} from "../../protocol/work_message.ts";
import type { Runner } from "../dispatch/runner.ts";
import type { Ack, LeasedTask, Nack } from "../engine/engine.ts";
import { SerialMap } from "../task/serial_map.ts";
import type { LineHandler } from "./line_handler.ts";
import type { Outbox } from "./outbox.ts";

/** A batch of so many tasks is worth a write of its own. */
const EAGER_TASKS = 32;

/** What a link tells the loops. */
export interface LinkListener {
  ack(acks: readonly Ack[]): Promise<void>;
  nack(nacks: readonly Nack[]): Promise<void>;
  renew(leases: readonly number[]): Promise<void>;
  /** The link takes more tasks than before. */
  hasRoom(): void;
  detached(link: WorkLink): void;
}

/** A lease that the process holds, with how far its task says it is. */
interface Held {
  readonly progress: Progress | undefined;
}

const NO_PROGRESS: Held = { progress: undefined };

export interface WorkLinkOptions {
  readonly hello: WorkHello;
  readonly outbox: Outbox;
  readonly listener: LinkListener;
  readonly hangUp: () => void;
}

export class WorkLink implements LineHandler, Runner {
  readonly ops: ReadonlySet<string>;
  readonly workers: number;
  /** The name of the server's own pool that this is. */
  readonly pool: string | undefined;
  readonly pid: number;
  readonly #options: WorkLinkOptions;
  readonly #held = new SerialMap<Held>();
  readonly #doomed = new Map<number, StopReason>();
  #credit: number;
  #retiring = false;

  constructor(options: WorkLinkOptions) {
    const { hello } = options;
    this.#options = options;
    this.ops = new Set(hello.ops);
    this.workers = hello.workers;
    this.pool = hello.pool;
    this.pid = hello.pid;
    this.#credit = hello.credit;
  }

  get room(): number {
    return this.#retiring ? 0 : this.#credit - this.#held.size;
  }

  get held(): number {
    return this.#held.size;
  }

  run(tasks: readonly LeasedTask[]): void {
    let text = "";
    for (const task of tasks) {
      this.#held.set(task.lease, NO_PROGRESS);
      text += leasedTaskLine(task);
      text += "\n";
    }
    this.#options.outbox.push(text);
    // So many keep the workers busy while the server reads what else came in: both work at a time.
    if (tasks.length >= EAGER_TASKS) this.#options.outbox.flush();
  }

  holds(lease: number): boolean {
    return this.#held.has(lease);
  }

  progressOf(lease: number): Progress | undefined {
    return this.#held.get(lease)?.progress;
  }

  stop(leases: readonly number[], reason: "cancel" | "lost"): void {
    this.#order(reason === "cancel" ? { cancel: [...leases] } : { lost: [...leases] });
    if (reason === "lost") leases.forEach((lease) => this.#held.take(lease));
  }

  async handle(lines: readonly Line[]): Promise<void> {
    const acks: Ack[] = [];
    const nacks: Nack[] = [];
    for (const line of lines) {
      if (line === null || line === "") continue;
      const lease = leaseOf(line);
      const result = lease > 0 ? resultOf(line) : undefined;
      if (result === undefined) this.#report(JSON.parse(line) as PoolReport, nacks);
      else if (this.#held.take(lease)) acks.push({ lease, result });
    }
    const { listener } = this.#options;
    if (acks.length > 0) await listener.ack(acks);
    if (nacks.length > 0) await listener.nack(nacks);
  }

  overflow(): void {
    this.#options.hangUp();
  }

  ended(): Promise<void> {
    return Promise.resolve();
  }

  cut(): void {
    const { listener } = this.#options;
    const nacks: Nack[] = [...this.#held.entries()].map(([lease]) => this.#verdict(lease));
    this.#held.clear();
    listener.detached(this);
    if (nacks.length > 0) void listener.nack(nacks);
  }

  #report(report: PoolReport, nacks: Nack[]): void {
    if ("lease" in report) {
      if (!this.#held.has(report.lease)) return;
      if ("progress" in report) {
        this.#held.set(report.lease, { progress: report.progress });
        return;
      }
      this.#held.take(report.lease);
      nacks.push(
        "cancelled" in report ? { lease: report.lease, reason: "stopped" } : {
          lease: report.lease,
          reason: "failed",
          error: report.error,
          last: report.retry === false,
        },
      );
    } else if ("release" in report) {
      for (const lease of report.release) {
        if (this.#held.take(lease)) nacks.push({ lease, reason: "released" });
      }
    } else if ("renew" in report) {
      void this.#options.listener.renew(report.renew);
    } else if ("credit" in report) {
      const grown = report.credit > this.#credit;
      this.#credit = Math.min(report.credit, MAX_CREDIT);
      if (grown) this.#options.listener.hasRoom();
    } else if ("retire" in report) {
      this.#retiring = true;
      for (const [lease, reason] of report.retire) this.#doomed.set(lease, reason);
    }
  }

  /** What became of a lease that the process held when it died. */
  #verdict(lease: number): Nack {
    switch (this.#doomed.get(lease)) {
      case "timeout":
        return {
          lease,
          reason: "failed",
          error: {
            code: "timeout",
            message: "stopped at its time limit; it did not obey, so its worker process was ended",
          },
        };
      case "cancel":
        return { lease, reason: "stopped" };
      default:
        // A process that ends for another task's sake has not died of this one.
        return { lease, reason: this.#retiring ? "released" : "died" };
    }
  }

  #order(order: ServerOrder): void {
    this.#options.outbox.push(JSON.stringify(order) + "\n");
  }
}

/** Checks the first line of a work link. Throws `bad_request`; the secret is checked elsewhere. */
export function readWorkHello(message: JsonObject): WorkHello {
  const { version, workers, credit, ops, pid, pool } = message;
  const isCount = (value: unknown, max: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
  const isOp = (op: unknown) => typeof op === "string" && op !== "" && op.length <= MAX_OP_CHARS;
  if (version !== WORK_VERSION) {
    throw new SdError(
      "bad_request",
      `this server speaks version ${WORK_VERSION} with its workers, this one version ${version}; ` +
        "run the same release of sd on both",
    );
  }
  if (
    !isCount(workers, MAX_WORKERS) || !isCount(credit, MAX_CREDIT) ||
    !isCount(pid, Number.MAX_SAFE_INTEGER) || !Array.isArray(ops) || !ops.every(isOp) ||
    (pool !== undefined && typeof pool !== "string")
  ) {
    throw new SdError("bad_request", "the first line of this work link is not well formed");
  }
  return message as unknown as WorkHello;
}
