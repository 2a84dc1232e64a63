/** A worker process made of a raw connection, whose tasks say what a test wants them to. */

import { assertEquals } from "@std/assert";
import type { OpSpec } from "../../protocol/op_spec.ts";
import { type LogEntry, WORK_VERSION } from "../../protocol/work_message.ts";
import { RawClient } from "./raw_client.ts";

/** A server, and the secret that lets worker processes in. */
export interface LinkTarget {
  readonly address: { readonly hostname: string; readonly port: number };
  readonly secret: string;
}

export class LogLink implements Disposable {
  readonly link: RawClient;

  private constructor(link: RawClient) {
    this.link = link;
  }

  /** Connects as a worker process with these ops, and is let in. */
  static async join({ address, secret }: LinkTarget, ...ops: OpSpec[]): Promise<LogLink> {
    const link = await RawClient.connect(address);
    const hello = { cmd: "work", version: WORK_VERSION, workers: 1, credit: 10, pid: 1 };
    const answer = await link.ask({ ...hello, ops, secret });
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
