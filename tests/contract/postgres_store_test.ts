/** The store of the postgres engine keeps the contract of stores, with slices that are soon full. */

import { SliceSweeper } from "../../server/engine/postgres/sweep.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { takeLead, type TestLead } from "../postgres/test_lead.ts";
import { testStore } from "./store_contract.ts";

testStore({
  name: "postgres store",
  isShared: true,
  canBeCut: true,
  options: withPostgres,
  stage: () => {
    const own = new OwnSchema();
    let last: TestLead | undefined;
    return Promise.resolve({
      open: async () => {
        const lead = await takeLead(own.url, 64);
        last = lead;
        const { store, opened, schema } = lead;
        const report = (message: string) => {
          throw new Error(message);
        };
        const sweeper = new SliceSweeper({ store, schema, maxKept: 1_000_000, report });
        return { store, opened, sweeper };
      },
      cut() {
        for (const session of [last?.session, last?.side]) session?.reconnect("the test cuts it");
      },
      [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
    });
  },
});
