/** Turns of reads: few slices at a time, each asker in turn, no slice for an asker that has left. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import type { Asker } from "../../../../server/engine/engine.ts";
import { ReadTurns } from "../../../../server/engine/read_turns.ts";

/** A client that can leave. */
function newAsker(): Asker & { leave(): void } {
  const gone = new AbortController();
  return { signal: gone.signal, leave: () => gone.abort() };
}

/** Reads that end when the test says so. */
class Reads {
  readonly started: string[] = [];
  readonly #ends = new Map<string, () => void>();

  begin(name: string): Promise<void> {
    this.started.push(name);
    return new Promise((resolve) => this.#ends.set(name, resolve));
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

function ask(turns: ReadTurns, asker: Asker | undefined, read: () => Promise<void>) {
  return turns.start(asker).then(() => turns.during(asker, read()));
}

Deno.test("an asker with many reads delays another one by one slice", async () => {
  const turns = new ReadTurns(1);
  const reads = new Reads();
  const greedy = newAsker();
  const modest = newAsker();
  const all = [1, 2, 3, 4].map((n) => ask(turns, greedy, () => reads.begin(`greedy ${n}`)));
  all.push(ask(turns, modest, () => reads.begin("modest")));
  await reads.end("");
  assertEquals(reads.started, ["greedy 1"]);
  for (const name of ["greedy 1", "greedy 2", "modest", "greedy 3", "greedy 4"]) {
    assertEquals(reads.started.at(-1), name);
    await reads.end(name);
  }
  await Promise.all(all);
});

Deno.test("no more slices than the limit are under way, and the server's own reads do not wait", async () => {
  const turns = new ReadTurns(2);
  const reads = new Reads();
  const askers = [1, 2, 3].map(() => newAsker());
  const all = askers.map((asker, i) => ask(turns, asker, () => reads.begin(`client ${i}`)));
  all.push(ask(turns, undefined, () => reads.begin("server")));
  await reads.end("");
  assertEquals(new Set(reads.started), new Set(["client 0", "client 1", "server"]));
  for (const name of ["server", "client 0", "client 1", "client 2"]) await reads.end(name);
  await Promise.all(all);
});

Deno.test("a read is dropped once its asker has left, and its turn passes on", async () => {
  const turns = new ReadTurns(1);
  const reads = new Reads();
  const gone = newAsker();
  const first = ask(turns, newAsker(), () => reads.begin("first"));
  const left = assertRejects(() => ask(turns, gone, () => reads.begin("gone")), SdError);
  const last = ask(turns, newAsker(), () => reads.begin("last"));
  await reads.end("");
  gone.leave();
  await reads.end("first");
  await left;
  assertEquals(reads.started, ["first", "last"]);
  await reads.end("last");
  await Promise.all([first, last]);
});

Deno.test("a long scan of memory lets timers go on, and a scan that fails gives its turn back", async () => {
  const turns = new ReadTurns(1);
  const asker = newAsker();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  function* scan(): Generator<void, string> {
    // Until timers have been served in between: a scan in one piece never ends.
    while (ticks < 3) yield;
    return "done";
  }
  assertEquals(await turns.run(asker, scan()), "done");
  clearInterval(timer);
  function* broken(): Generator<void, string> {
    yield;
    throw new Error("broken");
  }
  await assertRejects(() => turns.run(asker, broken()), Error, "broken");
  assert(await turns.run(asker, [].values()) === undefined);
});
