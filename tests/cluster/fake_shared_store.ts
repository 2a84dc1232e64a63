/**
 * A store that the servers of one test process share: an SQLite file, of which the leader of the moment has the only
 * handle, and a lease by the clock of this process. It is fenced as a shared store must be. A test can cut a server off, and
 * end its lead.
 */

import { delay } from "@std/async/delay";
import { openSqliteEngine } from "../../server/engine/sqlite/open_sqlite.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import {
  type ClusterView,
  type Lead,
  LEASE_MS,
  type ServerInfo,
  type SharedStore,
} from "../../server/engine/journaled/shared_store.ts";
import {
  type Opened,
  StoreError,
  type TaskStore,
} from "../../server/engine/journaled/task_store.ts";

/** Time between two looks at the lead, in ms. */
const LOOK_MS = 10;
/** Longest wait of a server that is cut off, in ms. */
const DEADLINE_MS = 1500;

interface Holder {
  readonly id: string;
  readonly address: string;
  readonly epoch: number;
  until: number;
  readonly store: FencedStore;
}

/** What the servers share. */
export class FakeCluster implements AsyncDisposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "sd-cluster-" });
  readonly #members = new Map<string, { info: ServerInfo; at: number }>();
  holder: Holder | undefined;
  #file: Store | undefined;
  #epoch = 0;
  #claiming = false;

  join(): FakeSharedStore {
    return new FakeSharedStore(this);
  }

  get view(): ClusterView {
    const now = Date.now();
    const servers = [...this.#members.values()].filter(({ at }) => now - at < LEASE_MS)
      .map(({ info }) => info);
    const held = this.holder && this.holder.until > now ? this.holder : undefined;
    const leader = held && { id: held.id, address: held.address, epoch: held.epoch };
    return { servers, leader, now };
  }

  announce(info: ServerInfo): void {
    this.#members.set(info.id, { info, at: Date.now() });
  }

  remove(id: string): void {
    this.#members.delete(id);
  }

  /** Ends the present lead at once, as if its session were lost: another server can lead. */
  endLead(): void {
    this.holder?.store.fence();
    this.holder = undefined;
  }

  /** Takes the lead if it is free. */
  async claim(self: ServerInfo, waitMs: number): Promise<Lead | undefined> {
    if (this.#claiming || (this.holder && this.holder.until + waitMs > Date.now())) {
      return undefined;
    }
    this.#claiming = true;
    try {
      this.holder?.store.fence();
      await this.#file?.close();
      const { store, opened } = await Store.open({
        path: `${this.#folder}/tasks.db`,
        durability: "normal",
        now: Date.now(),
      });
      this.#file = store;
      return this.#leadOf(self, new FencedStore(store), opened);
    } finally {
      this.#claiming = false;
    }
  }

  #leadOf(self: ServerInfo, store: FencedStore, opened: Opened): Lead {
    const holder: Holder = this.holder = {
      id: self.id,
      address: self.address,
      epoch: ++this.#epoch,
      until: Date.now() + LEASE_MS,
      store,
    };
    return {
      epoch: holder.epoch,
      store,
      opened,
      sweeper: { isFull: false, sweep: () => Promise.resolve({ removed: [], more: false }) },
      renew: () => {
        if (this.holder === holder) holder.until = Date.now() + LEASE_MS;
        return Promise.resolve(this.holder === holder);
      },
      resign: () => {
        if (this.holder === holder) this.endLead();
        return Promise.resolve();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** The handle of one server. */
export class FakeSharedStore implements SharedStore {
  readonly name = "postgres";
  readonly secret = "a secret of the cluster that is long enough";
  readonly #cluster: FakeCluster;
  /** It reaches the store no more, and notices that only by a deadline. */
  isCut = false;

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
  }

  async beat(self: ServerInfo): Promise<ClusterView> {
    await this.#reach();
    this.#cluster.announce(self);
    return this.#cluster.view;
  }

  async campaign(
    self: ServerInfo,
    { signal, waitMs }: { signal: AbortSignal; waitMs: () => number },
  ): Promise<Lead> {
    for (;;) {
      const lead = this.isCut ? undefined : await this.#cluster.claim(self, waitMs());
      if (lead) return this.#reached(lead);
      await delay(LOOK_MS, { signal });
    }
  }

  async leave(self: ServerInfo): Promise<void> {
    await this.#reach();
    this.#cluster.remove(self.id);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** A lead whose requests go the way of this handle. */
  #reached(lead: Lead): Lead {
    const store: TaskStore = {
      lost: lead.store.lost!,
      call: async (name, ask) => {
        await this.#reach();
        return await lead.store.call(name, ask);
      },
      close: () => lead.store.close(),
    };
    return {
      ...lead,
      store,
      renew: async () => {
        await this.#reach();
        return await lead.renew();
      },
      resign: async () => {
        await this.#reach();
        await lead.resign();
      },
    };
  }

  async #reach(): Promise<void> {
    if (!this.isCut) return;
    await delay(DEADLINE_MS);
    throw new StoreError("io", "the store does not answer");
  }
}

/** The file as one lead sees it: after the lead nothing is written or read. */
class FencedStore implements TaskStore {
  readonly #file: Store;
  readonly #lost = Promise.withResolvers<string>();
  #isFenced = false;

  constructor(file: Store) {
    this.#file = file;
  }

  get lost(): Promise<string> {
    return this.#lost.promise;
  }

  fence(): void {
    this.#isFenced = true;
    this.#lost.resolve("another server leads");
  }

  call: TaskStore["call"] = (name, ask) => {
    if (this.#isFenced) return Promise.reject(new StoreError("fenced", "another server leads"));
    return this.#file.call(name, ask as never) as never;
  };

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The engine of a lead of the fake. */
export function openFakeLead(lead: Lead, ended: EndedSink): Promise<Engine> {
  return openSqliteEngine({
    store: lead.store as Store,
    opened: lead.opened,
    now: Date.now(),
    ended,
    report: () => {},
    maxKept: 1_000_000,
    maxBytes: 2 ** 40,
  });
}
