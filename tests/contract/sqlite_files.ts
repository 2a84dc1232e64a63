/** Opens a sqlite engine for a test: no jitter, and whatever it has to report is an error. */

import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { openSqliteEngine } from "../../server/engine/sqlite/open_sqlite.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import { FlakyStore, type StoreFaults } from "../faults/flaky_store.ts";
import type { Random } from "../fuzz/random.ts";
import { NOW } from "./contract_steps.ts";

/** One whose store is late; `faults`: and fails. */
export async function openFlakySqlite(
  path: string,
  random: Random,
  { sizes = {}, faults, ended = () => {} }: {
    sizes?: Partial<PagerSizes>;
    faults?: StoreFaults;
    ended?: EndedSink;
  } = {},
): Promise<{ engine: Engine; store: FlakyStore }> {
  const opened = Promise.withResolvers<FlakyStore>();
  const engine = await openEngine(path, {
    sizes,
    ended,
    through(store) {
      const flaky = new FlakyStore(store, random, faults);
      opened.resolve(flaky);
      return flaky;
    },
    ...(faults && { report: () => {} }),
  });
  return { engine, store: await opened.promise };
}

export async function openTestSqlite(
  path: string,
  sizes: Partial<PagerSizes> = {},
  now = NOW,
  ended: EndedSink = () => {},
): Promise<Engine> {
  return await openEngine(path, { sizes, now, ended });
}

/** A disk of which a test says when it has no room. */
export class FullDisk {
  readonly reports: string[] = [];
  #hasRoom = Promise.resolve(true);
  /** Whether no commit finds any room. */
  isFull = false;

  /** The next commit waits for `refuse`, and then does not find any room. */
  fill(): { refuse(): void } {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#hasRoom = promise;
    return { refuse: () => resolve(false) };
  }

  async open(path: string, ended: EndedSink = () => {}): Promise<Engine> {
    const through = (store: Store): Pick<Store, "call" | "close"> => ({
      call: async (call, ask) => {
        if (call === "write") {
          const hasRoom = this.#hasRoom;
          this.#hasRoom = Promise.resolve(true);
          if (!await hasRoom || this.isFull) {
            throw new StoreError("full", "database or disk is full");
          }
        }
        return await store.call(call, ask);
      },
      close: () => store.close(),
    });
    const report = (message: string) => void this.reports.push(message);
    return await openEngine(path, { through, ended, report });
  }
}

interface OpenOptions {
  readonly ended: EndedSink;
  readonly sizes?: Partial<PagerSizes>;
  /** What the engine has for its store. */
  readonly through?: (store: Store) => Pick<Store, "call" | "close">;
  readonly report?: (message: string) => void;
  /** What the wall clock says. */
  readonly now?: number;
}

async function openEngine(
  path: string,
  { ended, sizes = {}, through = (store) => store, report = throwing, now = NOW }: OpenOptions,
): Promise<Engine> {
  const { store, opened } = await Store.open({ path, durability: "full", now });
  return patient(
    await openSqliteEngine({
      store: through(store),
      opened,
      now,
      ended,
      report,
      random: () => 0.5,
      maxKept: 1_000_000,
      maxBytes: Infinity,
      sizes,
    }),
  );
}

/** Its `lease` waits for what the engine is fetching, as a dispatcher that leases again does. */
export function patient(engine: Engine): Engine {
  const lease = engine.lease.bind(engine);
  engine.lease = async (request, now) => {
    for (;;) {
      const leased = await lease(request, now);
      if (leased.tasks.length > 0 || !leased.more) return leased;
      await leased.more;
    }
  };
  return engine;
}

function throwing(message: string): never {
  throw new Error(message);
}
