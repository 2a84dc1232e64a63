/** Who is found to take too much memory, and who is not: by figures alone. */

import { assert, assertEquals } from "@std/assert";
import { MemoryWatch } from "../../../../workers/pool/memory_watch.ts";

const MIB = 1024 * 1024;
const SHARE = 100;

/** A worker as the watch sees it. Figures in MiB. */
class FakeThread {
  readonly row = { memoryBytes: 5 * MIB, memoryReports: 1 };
  task: { seq: number; line: string } | undefined;
  #seq = 0;
  /** What it has taken and not told of. */
  unreported = 0;

  begin(line: string): void {
    this.task = { seq: ++this.#seq, line };
  }

  tell(mib: number): void {
    this.row.memoryBytes = mib * MIB;
    this.row.memoryReports++;
  }

  current() {
    return this.task;
  }
}

/** So many workers in one process, and a clock. */
class Stage {
  readonly threads: FakeThread[];
  readonly watch: MemoryWatch<FakeThread>;
  now = 1000;
  /** Of nobody. */
  otherMib = 50;

  constructor(workers: number) {
    this.threads = Array.from({ length: workers }, () => new FakeThread());
    this.watch = new MemoryWatch({
      shareBytes: SHARE * MIB,
      read: () => ({
        rss: this.threads.reduce(
          (sum, { row, unreported }) => sum + row.memoryBytes + unreported * MIB,
          this.otherMib * MIB,
        ),
        heapTotal: 0,
        external: 0,
      }),
    });
    for (const thread of this.threads) this.watch.ready(thread, this.now);
    this.watch.begin(this.threads, this.now);
  }

  /** Looks as often as the pool does; the names of the tasks that the first verdict tells of. */
  look(ms: number, meanwhile = () => {}): { guilty: string[]; suspects: string[] } | undefined {
    for (const end = this.now + ms; this.now < end; this.now += 20) {
      meanwhile();
      const verdict = this.watch.look(this.threads, this.now);
      if (!verdict) continue;
      const names = (tasks: readonly { line: string }[]) => tasks.map(({ line }) => line);
      return { guilty: names(verdict.guilty), suspects: names(verdict.suspects) };
    }
    return undefined;
  }
}

Deno.test("a task that awaits is judged by the reports of its worker", () => {
  const stage = new Stage(2);
  const [a, b] = stage.threads as [FakeThread, FakeThread];
  a.begin("a");
  b.begin("b");
  assertEquals(stage.look(100), undefined);
  b.tell(60);
  a.tell(5 + SHARE);
  assertEquals(stage.look(40), undefined);
  a.tell(6 + SHARE);
  assertEquals(stage.look(40), { guilty: ["a"], suspects: [] });
});

Deno.test("a task that does not yield is judged by the unreported memory of the process", () => {
  const stage = new Stage(3);
  const [a, b] = stage.threads as [FakeThread, FakeThread];
  a.begin("a");
  b.begin("b");
  a.unreported = 110;
  const telling = () => b.tell(30);
  assertEquals(stage.look(400, telling), undefined, "within what comes and goes");
  a.unreported = 140;
  assertEquals(stage.look(100, telling), { guilty: ["a"], suspects: [] });
});

Deno.test("of two that do not give way both may have a share; beyond that both are suspects", () => {
  const stage = new Stage(3);
  const [a, b, c] = stage.threads as [FakeThread, FakeThread, FakeThread];
  a.begin("a");
  b.begin("b");
  c.begin("c");
  const telling = () => c.tell(20);
  a.unreported = 100;
  b.unreported = 100;
  assertEquals(stage.look(400, telling), undefined);
  a.unreported = 150;
  assertEquals(stage.look(100, telling), { guilty: [], suspects: ["a", "b"] });
  assertEquals(stage.look(400, telling), undefined, "named once: the process ends for it");
});

Deno.test("a task that began later can have taken only memory from later", () => {
  const stage = new Stage(2);
  const [a, b] = stage.threads as [FakeThread, FakeThread];
  a.begin("a");
  a.unreported = 90;
  assertEquals(stage.look(200), undefined);
  b.begin("b");
  assertEquals(stage.look(200), undefined);
  a.unreported = 130;
  // By then b may have taken 40.
  assertEquals(stage.look(200), undefined);
  a.unreported = 190;
  assertEquals(stage.look(40), undefined);
  a.unreported = 220;
  assertEquals(stage.look(40), { guilty: [], suspects: ["a", "b"] });
});

Deno.test("the verdict waits for a task that has only begun, since it can have taken the memory", () => {
  const stage = new Stage(2);
  const [a, b] = stage.threads as [FakeThread, FakeThread];
  a.begin("a");
  assertEquals(stage.look(60), undefined);
  b.begin("b");
  assertEquals(stage.look(20), undefined);
  b.unreported = 230;
  const telling = () => a.tell(5);
  assertEquals(stage.look(60, telling), undefined);
  assertEquals(stage.look(60, telling), { guilty: ["b"], suspects: [] });
});

Deno.test("beside tasks that come and go, one that may have taken it is a suspect at last", () => {
  const stage = new Stage(2);
  const [a, b] = stage.threads as [FakeThread, FakeThread];
  a.begin("a");
  const comingAndGoing = () => {
    b.begin("b");
    a.unreported += 120;
  };
  const { guilty, suspects } = stage.look(1000, comingAndGoing) ?? {};
  assertEquals([guilty, suspects], [[], ["a"]]);
  assert(a.unreported > 2 * SHARE);
});

Deno.test("memory that other workers have not reported yet does not count against a silent task", () => {
  const stage = new Stage(4);
  const [a, ...others] = stage.threads as [FakeThread, ...FakeThread[]];
  a.begin("a");
  for (const other of others) other.begin("other");
  let turn = 0;
  const churning = () => {
    for (const [i, other] of others.entries()) {
      if ((turn + i) % 4 === 0) other.tell(5);
      other.unreported = (turn + i) % 4 * 15;
    }
    turn++;
  };
  a.unreported = 80;
  assertEquals(stage.look(2000, churning), undefined);
  a.unreported = 150;
  assertEquals(stage.look(200, churning)?.guilty, ["a"]);
});

Deno.test("the reported memory of a task counts together with its unreported memory", () => {
  const stage = new Stage(2);
  const [a] = stage.threads as [FakeThread];
  a.begin("a");
  assertEquals(stage.look(60), undefined);
  a.tell(5 + 70);
  assertEquals(stage.look(300), undefined);
  a.unreported = 40;
  assertEquals(stage.look(300), undefined);
  a.unreported = 47;
  assertEquals(stage.look(40)?.guilty, ["a"]);
});

Deno.test("memory from before a task does not count against it, reported or not", () => {
  const stage = new Stage(2);
  const [a] = stage.threads as [FakeThread];
  stage.otherMib += 500;
  stage.watch.begin(stage.threads, stage.now);
  a.tell(45);
  a.begin("a");
  assertEquals(stage.look(400), undefined);
  a.tell(45 + SHARE);
  assertEquals(stage.look(60), undefined);
});

Deno.test("of several tasks, one after another on a worker, each has the whole share", () => {
  const stage = new Stage(1);
  const [a] = stage.threads as [FakeThread];
  for (let n = 0; n < 10; n++) {
    a.begin(`task ${n}`);
    assertEquals(stage.look(40), undefined);
    a.unreported += 90;
    assertEquals(stage.look(400), undefined);
    // What it leaves behind is told of, or given back.
    a.unreported = 0;
  }
});

Deno.test("unreported memory counts against the tasks that await if no task is silent", () => {
  const stage = new Stage(2);
  const [a] = stage.threads as [FakeThread];
  a.begin("a");
  const telling = () => a.tell(5);
  a.unreported = 60;
  assertEquals(stage.look(400, telling), undefined);
  a.unreported = 140;
  assertEquals(stage.look(100, telling), { guilty: ["a"], suspects: [] });
});

Deno.test("the memory of an ended worker comes back a moment later, and no task is blamed", () => {
  const stage = new Stage(2);
  const [a, b] = stage.threads as [FakeThread, FakeThread];
  b.begin("b");
  a.tell(95);
  assertEquals(stage.look(200), undefined);
  b.unreported = 90;
  stage.watch.left(a, stage.now);
  a.row.memoryBytes = 0;
  stage.otherMib += 95;
  assertEquals(stage.look(200), undefined);
  stage.otherMib -= 95;
  a.begin("next");
  assertEquals(stage.look(600), undefined);
  b.unreported = 0;
  a.unreported = 95;
  assertEquals(stage.look(600), undefined);
});

Deno.test("a worker that keeps more than half a share between tasks is spent", () => {
  const stage = new Stage(1);
  const [a] = stage.threads as [FakeThread];
  a.begin("a");
  stage.look(40);
  a.tell(80);
  assertEquals(stage.watch.isSpent(a), false, "the task that runs may have it");
  a.task = undefined;
  assertEquals(stage.watch.isSpent(a), true);
  a.tell(5 + SHARE / 2);
  assertEquals(stage.watch.isSpent(a), false);
  a.tell(80);
  a.begin("b");
  stage.look(20);
  assertEquals(stage.watch.isSpent(a), true, "it was there when b began");
});

Deno.test("a process that grows by half a share while it ends is running away", () => {
  const stage = new Stage(1);
  assertEquals(stage.watch.isRunningAway, false);
  stage.watch.close();
  stage.otherMib += SHARE / 2;
  assertEquals(stage.watch.isRunningAway, false);
  stage.otherMib += 1;
  assertEquals(stage.watch.isRunningAway, true);
});
