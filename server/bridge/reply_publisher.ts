/**
 * Publishes the ends of the tasks of one intake. It reads the outbox of the engine in its order, and publishes the ends that
 * name this intake in their route. Each leaves the outbox once the message server has it. So an end is published at least
 * once, and the ends for an address keep their order. An address that takes nothing now waits alone; all others go on. While no
 * connection is open the ends stay in the outbox.
 */

import type { EndOutbox, OutboxRow } from "../engine/outbox.ts";
import type { Log } from "../log.ts";
import {
  type IntakeCounts,
  type MessageLink,
  reasonOf,
  type Reply,
  type ReplyFate,
} from "./message.ts";

interface ReplyPublisherOptions {
  readonly outbox: EndOutbox | undefined;
  /** The name of the intake in routes. */
  readonly name: string;
  readonly counts: IntakeCounts;
  readonly log: Log;
}

/** Rows of the outbox that are published together. */
const PAGE = 512;
/** Most pages that wait for their confirms and for their commit at a time. */
const MOST_PAGES = 16;
/** Shortest and longest time until an address that took nothing is tried again, in ms. */
const REFUSED_MS = { first: 1000, most: 30_000 };
/** Shortest time between two log lines about ends without an address, in ms. */
const DROP_LOG_MS = 10_000;

/** An end that is published beside the outbox. */
interface Extra {
  readonly reply: Reply;
  readonly sent: PromiseWithResolvers<void>;
}

export class ReplyPublisher {
  readonly #options: ReplyPublisherOptions;
  #link: MessageLink | undefined;
  #extras: Extra[] = [];
  #extraCount = 0;
  /** Addresses that take nothing now, and the ends beside the outbox for them. */
  readonly #blocked = new Set<string>();
  #blockedExtras: Extra[] = [];
  #retryMs = REFUSED_MS.first;
  #isRunning = false;
  /** Pages that are published, and not yet out of the outbox. */
  readonly #pages = new Set<Promise<void>>();
  /** Rows up to this number were published, or are of other intakes, or wait for their address. */
  #cursor = 0;
  #hasMore = true;
  #unwatch: (() => void) | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #droppedAt = -Infinity;
  #isClosed = false;
  #onIdle: (() => void)[] = [];

  constructor(options: ReplyPublisherOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unwatch = this.#options.outbox?.watch(() => {
      this.#hasMore = true;
      void this.#run();
    });
  }

  /** Publishes over this connection from now on, until it is lost. */
  attach(link: MessageLink): void {
    if (this.#isClosed) return;
    this.#link = link;
    this.#retryMs = REFUSED_MS.first;
    this.#restart();
    void link.lost.then(() => {
      if (this.#link === link) this.#link = undefined;
    });
  }

  /** Publishes an end that is not in the outbox; resolves once it is sent, or has no address. It waits for a connection. */
  send(route: string, body: string): Promise<void> {
    const sent = Promise.withResolvers<void>();
    if (this.#isClosed) sent.reject(new Error("the intake has ended"));
    else this.#extras.push({ reply: { route, body, key: `again-${++this.#extraCount}` }, sent });
    void this.#run();
    return sent.promise;
  }

  /** Resolves when nothing is left that can be published now. */
  async idle(): Promise<void> {
    if (!this.#isRunning && this.#pages.size === 0) return;
    await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  close(): void {
    this.#isClosed = true;
    this.#link = undefined;
    this.#unwatch?.();
    clearTimeout(this.#retryTimer);
    for (const { sent } of [...this.#extras, ...this.#blockedExtras]) {
      sent.reject(new Error("the intake has ended"));
    }
    this.#extras = [];
    this.#blockedExtras = [];
  }

  /** Reads the outbox from its beginning: ends can have been left behind. */
  #restart(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#blocked.clear();
    this.#extras.push(...this.#blockedExtras.splice(0));
    this.#cursor = 0;
    this.#hasMore = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (this.#link && (this.#extras.length > 0 || (this.#hasMore && this.#options.outbox))) {
        await this.#step(this.#link);
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isRunning = false;
      this.#tellIdle();
    }
  }

  async #step(link: MessageLink): Promise<void> {
    const extras = this.#extras.slice(0, PAGE);
    if (extras.length > 0) {
      const fates = await link.publish(extras.map(({ reply }) => reply));
      this.#extras = this.#extras.slice(extras.length);
      extras.forEach((extra, i) => {
        if (this.#count(fates[i]!, extra.reply)) extra.sent.resolve();
        else this.#blockedExtras.push(extra);
      });
    }
    const { outbox } = this.#options;
    if (!outbox || !this.#hasMore) return;
    // From the beginning, what is on its way would be read and sent a second time.
    while (this.#pages.size >= (this.#cursor === 0 ? 1 : MOST_PAGES)) {
      await Promise.race(this.#pages);
    }
    if (link !== this.#link) return;
    this.#hasMore = false;
    const after = this.#cursor;
    const rows = await outbox.read(after, PAGE);
    // It began again meanwhile.
    if (rows.length === 0 || after !== this.#cursor || link !== this.#link) return;
    this.#hasMore = true;
    this.#cursor = rows.at(-1)!.n;
    const page = this.#publish(link, outbox, rows).catch((error) => this.#failed(error))
      .finally(() => {
        this.#pages.delete(page);
        this.#tellIdle();
      });
    this.#pages.add(page);
  }

  /** Publishes the ends of a page that are of this intake, and takes them out of the outbox. */
  async #publish(
    link: MessageLink,
    outbox: EndOutbox,
    rows: readonly OutboxRow[],
  ): Promise<void> {
    const own = rows.filter(({ route }) => intakeOf(route) === this.#options.name);
    const open = this.#blocked.size === 0
      ? own
      : own.filter(({ route }) => !this.#blocked.has(addressOf(route)));
    if (open.length < own.length) this.#later();
    if (open.length === 0) return;
    const fates = await link.publish(
      open.map(({ n, route, body }) => ({ route, body, key: String(n) })),
    );
    const done = open.filter((row, i) => this.#count(fates[i]!, row));
    if (done.length > 0) await outbox.done(done.map(({ n }) => n));
  }

  #failed(error: unknown): void {
    // A lost connection has a line of its own. An engine that cannot be read now can be later.
    if (!this.#link) return;
    this.#options.log.warn("intake", `ends of tasks wait: ${reasonOf(error)}`);
    this.#later();
  }

  #tellIdle(): void {
    if (this.#isRunning || this.#pages.size > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Whether this was the last of an end. */
  #count(fate: ReplyFate, { route }: { readonly route: string }): boolean {
    const { counts, log, name } = this.#options;
    if (fate === "refused") {
      this.#blocked.add(addressOf(route));
      this.#later();
      return false;
    }
    if (fate === "sent") {
      counts.replied++;
      return true;
    }
    counts.dropped++;
    const now = performance.now();
    if (now - this.#droppedAt >= DROP_LOG_MS) {
      this.#droppedAt = now;
      log.warn(
        "intake",
        `${name}: the end of a task was dropped, since its reply address does not exist: ` +
          `${addressOf(route)}; ${counts.dropped} were dropped so far`,
      );
    }
    return true;
  }

  /** Tries the ends that were left behind again, from the beginning of the outbox. */
  #later(): void {
    if (this.#isClosed || this.#retryTimer !== undefined) return;
    this.#retryTimer = setTimeout(() => this.#restart(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, REFUSED_MS.most);
  }
}

/** The route of a message that came by the intake `name`. */
export function routeText(name: string, address: Readonly<Record<string, string>>): string {
  return JSON.stringify({ by: name, ...address });
}

/** The members of a route; empty if it is none of this bridge, since a route can be imported. */
export function readRoute(route: string): Readonly<Record<string, string | undefined>> {
  try {
    const value = JSON.parse(route) as unknown;
    if (typeof value !== "object" || value === null) return {};
    return Object.fromEntries(Object.entries(value).filter(([, text]) => typeof text === "string"));
  } catch {
    return {};
  }
}

function intakeOf(route: string): string | undefined {
  return readRoute(route).by;
}

function addressOf(route: string): string {
  return JSON.stringify(readRoute(route).to ?? "");
}
