/** Worker processes played over a raw connection: their ops, the answers to orders, and the log lines of their tasks. */

import { assertEquals } from "@std/assert";
import type { OpSpec } from "../../protocol/op_spec.ts";
import { type LogEntry, type SchemaFault, WORK_VERSION } from "../../protocol/work_message.ts";
import { RawClient } from "./raw_client.ts";
import type { TestServer } from "./test_server.ts";

export interface FakeWorkerOptions {
  readonly credit?: number;
  readonly pool?: string;
  /** It shows life, when the test says so. */
  readonly alive?: true;
}

/** An order to check submits, as it came. */
export interface CheckOrder {
  readonly check: number;
  readonly submits: readonly [op: string, line: string][];
}

export class FakeWorker implements Disposable {
  readonly link: RawClient;

  private constructor(link: RawClient) {
    this.link = link;
  }

  /** Connects as a worker process with these ops, and is let in. */
  static async join(
    server: TestServer,
    ops: readonly OpSpec[],
    options: FakeWorkerOptions = {},
  ): Promise<FakeWorker> {
    const link = await server.connect();
    const answer = await link.ask(helloOf(server, ops, options));
    assertEquals(answer.work, "ok", JSON.stringify(answer));
    return new FakeWorker(link);
  }

  /** The next order, which must be one to check submits. */
  async nextCheck(): Promise<CheckOrder> {
    const order = await this.link.object();
    assertEquals(typeof order.check, "number", JSON.stringify(order));
    return order;
  }

  async answer({ check }: CheckOrder, ...faults: (SchemaFault | null)[]): Promise<void> {
    await this.link.sendObjects({ checked: check, faults });
  }

  /** The next `count` orders, which must be leased tasks: their ids. */
  async nextTasks(count: number): Promise<string[]> {
    const ids: string[] = [];
    while (ids.length < count) {
      const task = await this.link.object();
      if (task.alive) continue;
      assertEquals(typeof task.lease, "number", JSON.stringify(task));
      ids.push(task.id);
    }
    return ids;
  }

  [Symbol.dispose](): void {
    this.link[Symbol.dispose]();
  }
}

/** A server, and the secret that lets worker processes in. */
export interface LinkTarget {
  readonly address: { readonly hostname: string; readonly port: number };
  readonly secret: string;
}

/** One whose tasks have log lines. */
export class LogLink implements Disposable {
  readonly link: RawClient;

  private constructor(link: RawClient) {
    this.link = link;
  }

  /** Connects as a worker process with these ops, and is let in. */
  static async join({ address, secret }: LinkTarget, ...ops: OpSpec[]): Promise<LogLink> {
    const link = await RawClient.connect(address);
    const answer = await link.ask(helloOf({ secret }, ops, { credit: 10 }));
    assertEquals(answer.work, "ok", JSON.stringify(answer));
    return new LogLink(link);
  }

  /** The lease of the next task, whose id must be this one. */
  async nextLease(id: string): Promise<number> {
    const task = await this.link.object();
    assertEquals(task.id, id, JSON.stringify(task));
    return task.lease;
  }

  async say(lease: number, log: LogEntry[], dropped?: number): Promise<void> {
    await this.link.sendObjects({ lease, log, ...(dropped === undefined ? {} : { dropped }) });
  }

  async end(lease: number, end: { result: unknown } | { error: object }): Promise<void> {
    await this.link.sendObjects({ lease, ...end });
  }

  [Symbol.dispose](): void {
    this.link[Symbol.dispose]();
  }
}

/** The first line of a worker process. */
export function helloOf(
  { secret }: { readonly secret: string },
  ops: readonly unknown[],
  { credit = 100, pool, alive }: FakeWorkerOptions = {},
): object {
  return {
    cmd: "work",
    version: WORK_VERSION,
    secret,
    workers: 1,
    credit,
    ops,
    pid: 1,
    ...(pool === undefined ? {} : { pool }),
    ...(alive && { alive }),
  };
}
