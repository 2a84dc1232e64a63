/** The server's end of a work link, played by a test of worker processes line by line. */

import { delay } from "@std/async/delay";
import { answerSealOffer, type Seal } from "../../protocol/link_seal.ts";
import { leasedTaskLine } from "../../protocol/work_message.ts";

const PATIENCE_MS = 60_000;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

// deno-lint-ignore no-explicit-any
export type Report = any;

/** A connection that a worker process has opened, and every line that came over it. */
export class FakeLink implements Disposable {
  readonly reports: Report[] = [];
  ended = false;
  readonly #conn: Deno.Conn;
  readonly #secret: string;
  #seal: Seal | undefined;
  #reading: Promise<void>;

  constructor(conn: Deno.Conn, secret: string) {
    this.#conn = conn;
    this.#secret = secret;
    this.#reading = this.#read();
  }

  async say(...lines: (string | Record<string, unknown>)[]): Promise<void> {
    const text = lines.map((line) => typeof line === "string" ? line : JSON.stringify(line));
    const bytes = encoder.encode(text.join("\n") + "\n");
    await this.sayBytes(this.#seal ? this.#seal.sealer.seal(bytes) : bytes);
  }

  /** Bytes as they are, under no seal. */
  async sayBytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  /** `aliveMs`: of a server that shows life, and wants as much. */
  async welcome(leaseMs = 30_000, aliveMs?: number): Promise<Report> {
    const hello = await this.until(({ cmd, ops }) => cmd === "work" && ops !== undefined);
    const alive = aliveMs === undefined ? {} : { alive_ms: aliveMs };
    await this.say({ work: "ok", lease_ms: leaseMs, ...alive });
    return hello;
  }

  /** Leases one task. */
  async lease(lease: number, submit: Record<string, unknown>, timeoutMs = 60_000): Promise<void> {
    const payload = JSON.stringify(submit);
    await this.say(leasedTaskLine(lease, { attempt: 1, timeoutMs, id: `task-${lease}`, payload }));
  }

  /** The first report that `is` holds for, once it is there. */
  async until(is: (report: Report) => boolean): Promise<Report> {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end;) {
      const found = this.reports.find(is);
      if (found) return found;
      await delay(2);
    }
    throw new Error(
      `no such report came; reports so far: ${JSON.stringify(this.reports).slice(-2000)}`,
    );
  }

  /** What became of `lease`, once it has. */
  async endOf(lease: number): Promise<Report> {
    return await this.until((report) => report.lease === lease && report.progress === undefined);
  }

  /** Resolves when the worker process has closed its end. */
  async untilEnded(): Promise<void> {
    await this.#reading;
  }

  /** As a server that is killed. */
  cut(): void {
    try {
      this.#conn.close();
    } catch (error) {
      // Cut already.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.cut();
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    let partial = "";
    try {
      for (let n = await this.#conn.read(buffer); n; n = await this.#conn.read(buffer)) {
        const bytes = buffer.subarray(0, n);
        const text = decoder.decode(this.#seal ? this.#seal.opener.push(bytes) : bytes);
        const lines = (partial + text).split("\n");
        partial = lines.pop() ?? "";
        for (const line of lines) {
          this.reports.push(JSON.parse(line));
          if (!this.#seal) await this.#answer(line);
        }
      }
    } catch (error) {
      // Cut by the test, or by a process that was killed.
      if (!(error instanceof Deno.errors.BadResource || isConnectionError(error))) throw error;
    }
    this.ended = true;
  }

  /** The offer of a seal, the first line of each worker process. */
  async #answer(line: string): Promise<void> {
    const { seal: offer } = JSON.parse(line);
    if (offer === undefined) return;
    const { answer, seal } = answerSealOffer({ line, offer, secret: this.#secret });
    await this.say(answer);
    this.#seal = seal;
  }
}

function isConnectionError(error: unknown): boolean {
  const { ConnectionReset, Interrupted, BrokenPipe } = Deno.errors;
  return [ConnectionReset, Interrupted, BrokenPipe].some((kind) => error instanceof kind);
}

/** Listens for worker processes. */
export class FakeServer implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #links: FakeLink[] = [];
  readonly #secret: string;

  /** `secret` is the pool's. */
  constructor(secret: string) {
    this.#secret = secret;
  }

  get address(): { hostname: string; port: number } {
    const { hostname, port } = this.#listener.addr as Deno.NetAddr;
    return { hostname, port };
  }

  /** The next connection. */
  async accept(): Promise<FakeLink> {
    const link = new FakeLink(await this.#listener.accept(), this.#secret);
    this.#links.push(link);
    return link;
  }

  [Symbol.dispose](): void {
    for (const link of this.#links) link.cut();
    this.#listener.close();
  }
}
