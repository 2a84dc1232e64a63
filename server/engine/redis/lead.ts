/**
 * The lead in Redis: how a server takes it, keeps it, and gives it back.
 *
 * A lead is free when it was resigned, or when its time is past on the clock of Redis. There is a quick path: the leader
 * renews on a connection of its own, whose number stands beside the lead. Redis sees at once that the connection of a killed
 * process is closed. If a candidate sees twice that it is gone, and it is still the one beside the lead, then the lead is
 * free. A leader whose connection was only cut comes back with a new number before that. A restarted Redis has another
 * run, so the numbers of an earlier run say nothing.
 */

import { delay } from "@std/async/delay";
import { type Lead, LEASE_MS, type ServerInfo } from "../journaled/shared_store.ts";
import type { Opened } from "../journaled/task_store.ts";
import { ConnectionLost, RedisReplyError } from "./connection.ts";
import { storeErrorOf } from "./faults.ts";
import { ControlLine, type Master } from "./master.ts";
import { laneOf } from "./row_text.ts";
import { CAMPAIGN, OPEN, RENEW, WRITE } from "./script.ts";
import { RedisStore, type RedisStoreOptions } from "./store.ts";
import { RedisSweeper } from "./sweeper.ts";

/** Time between two looks of a candidate, in ms. */
const LOOK_MS = 100;
/** The connection of the leader must be gone for this time, in ms. */
const GONE_MS = 300;
/** Longest wait for a renewal, in ms. */
const RENEWAL_MS = 1500;
/** Tries to register a new connection at once; later, the regular renewals do it. */
const COME_BACK_TRIES = 5;

export interface LeadOptions {
  readonly prefix: string;
  readonly dial: (purpose: "lead" | "tasks") => Promise<Master>;
  readonly confirm: RedisStoreOptions["confirm"];
  readonly maxKept: number;
  readonly report: (message: string) => void;
}

/** The connection of the leader, as a candidate saw it. */
interface Seen {
  readonly connection: string;
  /** Since when it has been gone; `undefined` while it is there. */
  readonly goneSince: number | undefined;
}

/** A server that wants the lead, with its knowledge from one look to the next. */
class LeadCandidate {
  #seen: Seen | undefined;

  /** One look: resolves with epoch and token if the lead was free. */
  async look(
    { connection, identity }: Master,
    prefix: string,
    { self, waitMs, epoch }: { self: ServerInfo; waitMs: number; epoch: number },
  ): Promise<{ readonly epoch: number; readonly token: string } | undefined> {
    const seen = this.#seen;
    const isGone = seen?.goneSince !== undefined &&
      performance.now() - seen.goneSince >= GONE_MS;
    const [isTaken, first, second, run] = await connection.run(CAMPAIGN, prefix, [
      self.id,
      self.address,
      crypto.randomUUID(),
      LEASE_MS,
      Math.max(0, Math.round(waitMs)),
      epoch,
      isGone ? seen.connection : "",
    ]) as [number, string, string, string];
    if (isTaken === 1) return { epoch: Number(first), token: second };
    // Without a connection beside the lead, or after a restart of Redis, its time alone counts.
    const isKnown = second !== "" && run === identity.runId;
    const isThere = !isKnown || await isConnected(connection, second);
    if (isThere) this.#seen = undefined;
    else if (seen?.connection !== second) {
      this.#seen = { connection: second, goneSince: performance.now() };
    }
    return undefined;
  }
}

async function isConnected(connection: Master["connection"], id: string): Promise<boolean> {
  try {
    return await connection.call(["CLIENT", "LIST", "ID", id]) !== "";
  } catch (error) {
    // A user without this right waits for the lease.
    if (error instanceof RedisReplyError) return true;
    throw error;
  }
}

/** Waits for the lead and takes it. Rejects once `signal` is aborted. */
export async function campaign(
  self: ServerInfo,
  { signal, waitMs, highest, control, lead }: {
    readonly signal: AbortSignal;
    readonly waitMs: () => number;
    /** The highest epoch that this server has seen. */
    readonly highest: () => number;
    readonly control: ControlLine;
    readonly lead: LeadOptions;
  },
): Promise<Lead> {
  const candidate = new LeadCandidate();
  let trouble: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    try {
      const master = await control.master();
      const won = await candidate.look(master, lead.prefix, {
        self,
        waitMs: waitMs(),
        epoch: highest(),
      });
      if (won) return await openLead(won, lead, signal);
      trouble = undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      const { message } = storeErrorOf(error);
      if (message !== trouble) lead.report(`cannot ask Redis for the lead: ${message}`);
      trouble = message;
    }
    await delay(LOOK_MS, { signal });
  }
}

async function openLead(
  won: { readonly epoch: number; readonly token: string },
  options: LeadOptions,
  signal: AbortSignal,
): Promise<Lead> {
  const { prefix, dial, confirm, report, maxKept } = options;
  const renewal = new Renewal(won.token, prefix, () => dial("lead"));
  let master: Master | undefined;
  try {
    await renewal.renew();
    master = await dial("tasks");
    const opened = await readOpened(master, prefix, won.token);
    signal.throwIfAborted();
    const store = new RedisStore({
      prefix,
      token: won.token,
      master,
      dial: () => dial("tasks"),
      counts: opened.counts,
      next: opened.next,
      outbox: opened.outbox,
      kinds: opened.kinds,
      confirm,
      report,
    });
    void store.lost.then(() => renewal.close());
    return {
      epoch: won.epoch,
      store,
      opened,
      sweeper: new RedisSweeper({ store, prefix, maxKept, report }),
      renew: async () => {
        const leads = await renewal.renew();
        if (!leads) store.lose("another server leads");
        return leads;
      },
      resign: () => renewal.resign(),
    };
  } catch (error) {
    master?.connection.destroy("the lead could not be opened");
    // The lead is free at once for another server, or for the next try.
    await renewal.resign().catch(() => {});
    throw error;
  }
}

/** Carries out what is left of a commit that the leader before had staged, then reads what the engine needs. */
async function readOpened(
  { connection }: Master,
  prefix: string,
  token: string,
): Promise<Opened & { readonly outbox: number; readonly kinds: number }> {
  const read = () => connection.run(OPEN, prefix, [token]) as Promise<OpenReply>;
  let reply = await read();
  const [number, chunks] = reply[3];
  if (number !== null) {
    for (let chunk = 1; chunk <= Number(chunks ?? 0); chunk++) {
      await connection.run(WRITE, prefix, [token, "apply", number, chunk]);
    }
    await connection.run(WRITE, prefix, [token, "unstage", number, 0]);
    reply = await read();
  }
  const [counts, lanes, settings] = reply;
  const [next, outbox, kinds] = counts.slice(7);
  const queued = new Map<string, number>();
  const open = pairs(lanes).map(([text, size]) => {
    const lane = laneOf(String(text));
    queued.set(lane.op, (queued.get(lane.op) ?? 0) + Number(size));
    return lane;
  });
  return {
    counts: counts.slice(0, 7).map((count) => Number(count ?? 0)),
    next: Number(next ?? 1),
    outbox: Number(outbox ?? 0),
    kinds: Number(kinds ?? 0),
    lanes: open,
    queuedOps: [...queued],
    settings: pairs(settings).map(([name, value]) => [JSON.parse(name), JSON.parse(value)]),
  };
}

type OpenReply = [
  counts: (string | null)[],
  lanes: (string | number)[],
  settings: string[],
  stage: [number: string | null, chunks: string | null],
];

function pairs<T>(list: readonly T[]): [T, T][] {
  return Array.from({ length: list.length / 2 }, (_, i) => [list[i * 2]!, list[i * 2 + 1]!]);
}

/** Extends a lead on a connection of its own, and registers that connection beside the lead. */
class Renewal {
  readonly #token: string;
  readonly #prefix: string;
  readonly #line: ControlLine;
  /** The connection that is registered, and its number. */
  #known: { readonly connection: unknown; readonly id: number } | undefined;
  /** The last time of Redis, and when it came here. */
  #clock: { readonly at: number; readonly here: number } | undefined;
  #isOver = false;
  readonly #stop = new AbortController();

  constructor(token: string, prefix: string, dial: () => Promise<Master>) {
    this.#token = token;
    this.#prefix = prefix;
    this.#line = new ControlLine(dial);
  }

  /** False if another server leads. Rejects with `io` if Redis does not answer in time. */
  async renew(): Promise<boolean> {
    if (this.#isOver) return false;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#line.drop("Redis does not answer");
      late.reject(new ConnectionLost(`Redis has not answered for ${RENEWAL_MS} ms`));
    }, RENEWAL_MS);
    try {
      return await Promise.race([this.#send(LEASE_MS), late.promise]);
    } catch (error) {
      throw storeErrorOf(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async resign(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      await this.#send(0);
    } catch (error) {
      throw storeErrorOf(error);
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#stop.abort();
    await this.#line.close();
  }

  async #send(leaseMs: number): Promise<boolean> {
    const { connection, identity } = await this.#line.master();
    const id = await connection.call(["CLIENT", "ID"]) as number;
    // Through a proxy that shares connections the number says nothing.
    const isOwn = this.#known?.connection !== connection || this.#known.id === id;
    const clock = this.#clock;
    // A renewal that was held up must not extend the lead when it arrives at last.
    const latest = clock && leaseMs > 0
      ? clock.at + Math.round(performance.now() - clock.here) + LEASE_MS
      : 0;
    const reply = await connection.run(RENEW, this.#prefix, [
      this.#token,
      leaseMs,
      isOwn ? id : "",
      identity.runId,
      latest,
    ]);
    const [at, outcome] = reply as [string, number];
    if (outcome < 0) return false;
    this.#clock = { at: Number(at), here: performance.now() };
    // The clock of Redis has jumped: the answer is here in time.
    if (outcome === 0) return await this.#send(leaseMs);
    if (leaseMs > 0 && this.#known?.connection !== connection) {
      this.#known = { connection, id };
      void connection.closed.then(() => this.#comeBack());
    }
    return true;
  }

  /** Registers a new connection at once, before a candidate takes the lead for free. */
  async #comeBack(): Promise<void> {
    for (let tries = 0; tries < COME_BACK_TRIES && !this.#isOver; tries++) {
      if (await this.renew().then(() => true, () => false)) return;
      await delay(LOOK_MS, { signal: this.#stop.signal }).catch(() => {});
    }
  }
}
