/**
 * The contract of stores under the journaled engine: one test for each claim of `TaskStore`. The test file of a store calls
 * `testStore` with a way to stage it. Claims about leads are for stores that servers share; claims about answers that never
 * came are for stores that can be cut off. A claim that a store cannot keep by its nature is ignored by name, with the reason.
 */

import { assert } from "@std/assert";
import type { Opened, RecordSweeper, TaskStore } from "../../server/engine/journaled/task_store.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { LEAD_TESTS } from "./store_leads.ts";
import { PAGE_TESTS } from "./store_pages.ts";
import { WRITE_TESTS } from "./store_writes.ts";

/** A store that is open. */
export interface OpenStore {
  readonly store: TaskStore;
  readonly opened: Opened;
  readonly sweeper: RecordSweeper;
}

/** One store and all that belongs to it; gone when it is disposed of. */
export interface StoreStage extends AsyncDisposable {
  /**
   * Opens it, as the next server does. The one before is closed if the store serves only one; a store that servers share
   * takes its lead away.
   */
  open(): Promise<OpenStore>;
  /** Cuts all connections of the engine to the store; they can be made again at once. */
  cut?(): void;
}

export interface StoreContract {
  /** Stands before each claim in the name of its test. */
  readonly name: string;
  /** Makes the options of a test from its name; for what the store needs, see `needing`. */
  readonly options?: (claim: string) => { name: string; ignore: boolean };
  readonly stage: () => Promise<StoreStage>;
  /** Default: true. */
  readonly sanitizeOps?: boolean;
  /** Several servers share it. */
  readonly isShared: boolean;
  /** Its stage can cut it off. */
  readonly canBeCut?: boolean;
  /** Claims that do not hold, and why. */
  readonly lacks?: readonly { readonly claim: string; readonly reason: string }[];
}

export type StoreTest = (
  stage: StoreStage & { readonly cut: () => void },
  random: Random,
) => Promise<void>;

/** Declares a test for each claim, each on a store of its own. */
export function testStore(contract: StoreContract): void {
  const { name, isShared, canBeCut = false, lacks = [] } = contract;
  const tests: Record<string, StoreTest> = { ...WRITE_TESTS, ...PAGE_TESTS };
  if (isShared) Object.assign(tests, LEAD_TESTS.shared);
  if (canBeCut) Object.assign(tests, LEAD_TESTS.cut);
  for (const { claim } of lacks) assert(claim in tests, `no such claim: ${claim}`);
  for (const [claim, test] of Object.entries(tests)) {
    const lack = lacks.find((entry) => entry.claim === claim);
    const title = `${name}: ${claim}${lack ? ` (does not hold: ${lack.reason})` : ""}`;
    const options = contract.options?.(title) ?? { name: title, ignore: false };
    const sanitizeOps = contract.sanitizeOps ?? true;
    Deno.test({
      ...options,
      sanitizeOps,
      sanitizeResources: sanitizeOps,
      ignore: options.ignore || lack !== undefined,
      fn: () => run(contract, test),
    });
  }
}

async function run({ stage: make }: StoreContract, test: StoreTest): Promise<void> {
  const seed = newSeed();
  await using stage = await make();
  const open: OpenStore[] = [];
  try {
    await test(
      {
        open: async () => {
          const one = await stage.open();
          open.push(one);
          return one;
        },
        cut: () => {
          assert(stage.cut, "the stage can cut");
          stage.cut();
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      new Random(seed),
    );
  } catch (error) {
    throw new Error(`with SD_SEED=${seed}`, { cause: error });
  } finally {
    // Counts that no test awaits.
    for (const { opened } of open) await opened.counting?.catch(() => undefined);
    for (const { store } of open) await store.close().catch(() => undefined);
  }
}
