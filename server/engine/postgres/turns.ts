/**
 * Requests to the database that take effect in the order in which they were asked for, also while the connection is lost
 * and made again. They are sent one behind the other without waiting for answers; after a loss, all that have no answer
 * are sent again, in their order.
 *
 * A write is sent when the write before it is answered. So at most one write can have an unknown fate, and sent again it
 * finds out by itself: see `write.ts`. A request that cannot be sent for `PATIENCE_MS` is rejected. A write
 * that was sent and gets no answer for that time ends the lead instead: the next lead reads the rows.
 */

import { setImmediate } from "node:timers";
import { StoreError } from "../journaled/task_store.ts";
import type { PgSession, Query } from "./connection.ts";
import { AnswerLost } from "./faults.ts";
import type { Rows } from "./read.ts";

/** How long a request waits for a database that is away, in ms. */
const PATIENCE_MS = 10_000;
/** Time until a statement is sent again that the database could not carry out, in ms. */
const AGAIN_MS = 100;
/** Time between two looks at requests that wait for a connection, in ms. */
const LOOK_MS = 100;

export interface Turn {
  /** Called each time that it is sent. */
  readonly query: () => Query;
  /**
   * `read`: as many as there are at a time. `write`: one at a time, with reads behind it. `alone`: nothing else is under
   * way, and a second time does no harm.
   */
  readonly kind: "read" | "write" | "alone";
  /** It is rejected if the database cannot carry it out now. */
  readonly isOnce?: boolean;
  /** The error of the request for an error of its statement. */
  readonly fault?: (error: StoreError) => StoreError;
}

interface Request extends Turn {
  readonly askedAt: number;
  sends: number;
  /** Reads its answer, and returns a function that passes it on. */
  readonly answered: (rows: Rows, sends: number) => () => void;
  readonly reject: (error: unknown) => void;
}

export class Turns {
  readonly #session: Pick<PgSession, "query" | "ready">;
  readonly #onLost: (reason: string) => void;
  /** All without an answer, in their order; */
  readonly #requests: Request[] = [];
  /** the first of them were sent, */
  #sent = 0;
  /** with this one among them. */
  #writing: Request | undefined;
  /** Answers of an earlier round do not count. */
  #round = 0;
  /** Nothing is sent now. */
  #isWaiting = false;
  #timer: ReturnType<typeof setInterval> | undefined;
  #over: StoreError | undefined;
  #idle = Promise.withResolvers<void>();
  #isIdle = true;
  /** Answers that have come and were not passed on. */
  readonly #deliveries: (() => void)[] = [];
  #isDelivering = false;

  /** `onLost`: called if it is unknown, and stays so, what became of a write. */
  constructor(
    session: Pick<PgSession, "query" | "ready">,
    onLost: (reason: string) => void,
  ) {
    this.#session = session;
    this.#onLost = onLost;
    this.#idle.resolve();
  }

  /** Resolves with the answer; `answer` gets how often it was sent, too. */
  ask<A>(turn: Turn, answer: (rows: Rows, sends: number) => A): Promise<A> {
    if (this.#over) return Promise.reject(this.#over);
    const { promise, resolve, reject } = Promise.withResolvers<A>();
    if (this.#isIdle) this.#idle = Promise.withResolvers();
    this.#isIdle = false;
    this.#requests.push({
      ...turn,
      askedAt: performance.now(),
      sends: 0,
      answered(rows, sends) {
        try {
          const read = answer(rows, sends);
          return () => resolve(read);
        } catch (error) {
          return () => reject(error);
        }
      },
      reject,
    });
    this.#send();
    return promise;
  }

  /** Resolves when every request has its answer. */
  get idle(): Promise<void> {
    return this.#idle.promise;
  }

  /** Rejects all requests, also later ones. */
  end(error: StoreError): void {
    this.#over ??= error;
    this.#round++;
    clearInterval(this.#timer);
    for (const { reject } of this.#requests.splice(0)) reject(this.#over);
    this.#rest();
  }

  #rest(): void {
    this.#isIdle = true;
    this.#idle.resolve();
  }

  #send(): void {
    while (!this.#isWaiting && this.#sent < this.#requests.length) {
      const request = this.#requests[this.#sent]!;
      const { kind } = request;
      if (kind === "write" && this.#writing) return;
      if (this.#sent > 0 && (kind === "alone" || this.#requests[0]!.kind === "alone")) return;
      this.#sent++;
      if (kind === "write") this.#writing = request;
      void this.#sendOne(request);
    }
  }

  async #sendOne(request: Request): Promise<void> {
    const round = this.#round;
    request.sends++;
    try {
      const rows = await this.#session.query<readonly (string | number | null)[]>(request.query());
      if (round === this.#round) {
        this.#deliver(this.#finish(request).answered(rows, request.sends));
      }
    } catch (error) {
      if (round === this.#round) this.#failed(request, error);
    }
    this.#send();
  }

  /** Its answer has come: it is the first of those without one. */
  #finish(request: Request): Request {
    this.#requests.splice(this.#requests.indexOf(request), 1);
    if (this.#sent > 0) this.#sent--;
    if (this.#writing === request) this.#writing = undefined;
    return request;
  }

  /**
   * Calls `pass`, one in each turn of the event loop: the engine uses a row that it has read until it next waits, so no
   * other answer may come before it has done so.
   */
  #deliver(pass: () => void): void {
    this.#deliveries.push(pass);
    if (this.#deliveries.length === 1 && !this.#isDelivering) this.#deliverNext();
  }

  #deliverNext(): void {
    this.#deliveries.shift()?.();
    this.#isDelivering = true;
    setImmediate(() => {
      this.#isDelivering = false;
      if (this.#deliveries.length > 0) this.#deliverNext();
      else if (this.#requests.length === 0) this.#rest();
    });
  }

  #failed(request: Request, error: unknown): void {
    if (error instanceof AnswerLost) return this.#wait(error, this.#session.ready());
    const known = error instanceof StoreError ? error : new StoreError("bug", String(error));
    const fault = request.fault?.(known) ?? known;
    if (fault.fault === "fenced") return this.end(fault);
    if (fault.fault !== "io" || request.isOnce) {
      const { reject } = this.#finish(request);
      return this.#deliver(() => reject(fault));
    }
    // It changed nothing. All requests that were sent behind it must come behind it again.
    this.#wait(fault, new Promise((resolve) => setTimeout(resolve, AGAIN_MS)));
  }

  /** Sends everything again once `ready`. */
  #wait(reason: StoreError, ready: Promise<unknown>): void {
    const round = ++this.#round;
    this.#sent = 0;
    this.#writing = undefined;
    this.#isWaiting = true;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#giveUp(reason), LOOK_MS);
    ready.then(() => {
      if (round !== this.#round) return;
      clearInterval(this.#timer);
      this.#isWaiting = false;
      this.#send();
    }, (error) => {
      if (round === this.#round) this.end(error);
    });
  }

  #giveUp({ message }: StoreError): void {
    const limit = performance.now() - PATIENCE_MS;
    for (const request of this.#requests.filter(({ askedAt }) => askedAt < limit)) {
      if (request.kind === "write" && request.sends > 0) {
        const reason = `what became of a commit is unknown: ${message}`;
        this.end(new StoreError("fenced", reason));
        return this.#onLost(reason);
      }
      const { reject } = this.#finish(request);
      this.#deliver(() => reject(new StoreError("io", message)));
    }
  }
}
