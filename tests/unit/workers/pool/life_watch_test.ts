/** Idle workers that give no sign of life are given up, and only these. */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { LifeWatch } from "../../../../workers/pool/life_watch.ts";
import { TaskShare } from "../../../../workers/bridge/task_table.ts";
import type { Thread } from "../../../../workers/pool/thread.ts";

/** As much of a thread as is looked at. */
class FakeThread {
  readonly row = new TaskShare().row;
  asked = 0;
  isIdle = true;
  isUsed = true;
  answers = true;

  askForSign(): void {
    this.asked++;
    if (this.answers) this.row.beat();
  }
}

Deno.test("an idle worker that does not answer is lost; a busy, new or answering one is not", async () => {
  const [alive, silent, busy, fresh] = Array.from({ length: 4 }, () => new FakeThread());
  silent!.answers = false;
  busy!.answers = busy!.isIdle = false;
  fresh!.isUsed = fresh!.answers = false;
  const threads = [alive, silent, busy, fresh] as unknown as Thread[];
  const lost: Thread[] = [];
  const watch = new LifeWatch(threads, (thread) => {
    lost.push(thread);
    threads.splice(threads.indexOf(thread), 1);
  });
  watch.start(1);
  while (lost.length === 0 || alive!.asked < 5) await delay(1);
  watch.stop();
  watch.stop();
  assertEquals(lost, [silent as unknown as Thread]);
  assertEquals([busy!.asked, fresh!.asked], [0, 0]);
});
