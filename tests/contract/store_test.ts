/** The sqlite store keeps the contract of stores, and so does the store that tests share in memory. */

import { FileSweeper } from "../../server/engine/sqlite/file_sweeper.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import { DEFAULT_RULES } from "../../server/task/new_task.ts";
import { SharedMemory } from "../faults/memory_store.ts";
import { testStore } from "./store_contract.ts";
import { NOW } from "./store_rows.ts";

testStore({
  name: "sqlite store",
  isShared: false,
  stage: async () => {
    const folder = await Deno.makeTempDir({ prefix: "sd-store-" });
    let last: Store | undefined;
    return {
      open: async () => {
        await last?.close();
        const path = `${folder}/sd.db`;
        const { store, opened } = await Store.open({ path, durability: "normal", now: NOW });
        last = store;
        const sweeper = new FileSweeper({
          store,
          maxKept: 1_000_000,
          maxBytes: Infinity,
          report: (message) => {
            throw new Error(message);
          },
        });
        return { store, opened, sweeper };
      },
      [Symbol.asyncDispose]: async () => {
        await last?.close();
        await Deno.remove(folder, { recursive: true });
      },
    };
  },
});

testStore({
  name: "shared memory",
  isShared: true,
  stage: () => {
    const memory = new SharedMemory();
    return Promise.resolve({
      open: () => {
        const store = memory.lead();
        const sweeper = store.sweeper(DEFAULT_RULES.keepMs);
        return Promise.resolve({ store, opened: store.opened(), sweeper });
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
});
