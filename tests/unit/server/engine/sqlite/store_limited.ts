/**
 * Writes batches of 100 tasks to the store that its argument names until some were refused, lifts the limit
 * on files that its parent set, and writes on. Prints which batches were acknowledged.
 */

import { print } from "../../../../../cli/talk.ts";
import { StoreError } from "../../../../../server/engine/journaled/task_store.ts";
import { completed, inserts, open } from "../../../../contract/store_rows.ts";

const kept: number[] = [];
const faults: string[] = [];
const { store } = await open(Deno.args[0]!, { durability: "full" });
let batch = 0;

async function write(): Promise<boolean> {
  const from = ++batch * 100;
  const tasks = Array.from(
    { length: 100 },
    (_, i) => completed(from + i, { payload: "x".repeat(400) }),
  );
  try {
    await store.call("write", inserts(tasks));
    kept.push(batch);
    return true;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    faults.push(error.fault);
    return false;
  }
}

while (faults.length < 5 && batch < 1000) {
  await write();
  const found = await store.call("find", { ids: [completed(batch * 100).id] });
  if ((found[0] !== null) !== (kept.at(-1) === batch)) throw new Error(`batch ${batch}: half kept`);
}
const { success } = await new Deno.Command("prlimit", {
  args: ["--pid", `${Deno.pid}`, "--fsize=unlimited"],
}).output();
if (!success) throw new Error("prlimit failed");
for (let more = 0; more < 20; more++) {
  if (!await write()) throw new Error("refused without a limit");
}
await store.close();
print(JSON.stringify({ kept, refused: faults.length, faults }));
