/** The end of a worker that tells in more than one way what it was about. */

import { assertEquals } from "@std/assert";
import { leaseOf } from "../../../../protocol/work_message.ts";
import { ResultRing } from "../../../../workers/bridge/ring_area.ts";
import { TaskShare } from "../../../../workers/bridge/task_table.ts";
import type {
  ThreadOrder,
  ThreadReport,
  ThreadStart,
} from "../../../../workers/bridge/thread_message.ts";
import { TestPool } from "../../../kit/test_pool.ts";

const BEAT_MS = 50;

/** Plays a worker on the pool's own thread: its task ends as it is told to end itself, and it says nothing of either. */
class LastMinuteWorker {
  onerror: unknown = null;
  hasBegun = false;
  #ports: MessagePort[] = [];
  #heart: ReturnType<typeof setInterval> | undefined;

  postMessage({ share }: ThreadStart, ports: [MessagePort, ...MessagePort[]]): void {
    const [port] = ports;
    const { row, results: ring } = new TaskShare(share);
    const results = new ResultRing(ring, row);
    let task = { seq: 0, lease: 0 };
    this.#heart = setInterval(() => row.beat(), BEAT_MS);
    this.#ports = ports;
    port.onmessage = ({ data }: MessageEvent<ThreadOrder>) => {
      if ("lines" in data) {
        task = { seq: data.seq, lease: leaseOf(data.lines) };
        row.setRunning(true);
        row.claim(task.seq, performance.now() | 0);
        row.describe(1, 60_000);
        this.hasBegun = true;
      } else if ("die" in data) {
        results.writeResult(task.lease, "1");
        row.finish(task.seq, results.end);
        row.setClosed();
      }
    };
    port.postMessage({ ready: performance.now() } satisfies ThreadReport);
  }

  terminate(): void {
    clearInterval(this.#heart);
    for (const port of this.#ports) port.close();
  }
}

Deno.test("a worker that ended itself, and whose task turns out to be done, is replaced once", async () => {
  const workers: LastMinuteWorker[] = [];
  const newWorker = () => {
    const worker = new LastMinuteWorker();
    workers.push(worker);
    return worker as unknown as Worker;
  };
  using test = new TestPool(1, { newWorker });
  const [lease] = test.run({ op: "sleep", ms: 60_000 });
  await test.until(() => workers[0]!.hasBegun);
  test.stop([lease!], "cancel");
  assertEquals(await test.endOf(lease!), { lease, cancelled: true });
  await test.until(() => test.pool.held === 0);
  assertEquals(workers.length, 2);
  assertEquals(test.reports.filter((report) => report.lease === lease).length, 1);
});
