/**
 * Right and wrong uses of a client that knows a task file: `deno check` is the test. Each `@ts-expect-error` is a mistake
 * that people make; the check fails if it compiles.
 */

import type {
  ArgsOf,
  AsJson,
  BuiltinTasks,
  Client,
  ManyEnd,
  OpName,
  ResultOf,
} from "../../client/mod.ts";

type Tasks = typeof import("./typed_tasks.ts");

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

/** Compiles if both types are the same. */
function same<A, B>(_proof: Same<A, B>): void {}

export async function rightUses(sd: Client<Tasks>): Promise<void> {
  same<Awaited<ReturnType<typeof sd.square>>, number>(true);
  const square: number = await sd.square({ n: 7 });
  const later: number = await sd.square({ n: square }, { timeout: 5000, attempts: 3 });
  const moved: { x: number; y?: number } = await sd.move({ point: { x: later } });
  const loud: string = await sd.shout({ text: "hi" }, { signal: AbortSignal.timeout(1000) });
  const nothing: null = await sd.tick();
  await sd.stamp({});
  await sd.stamp();

  const task = await sd.submit("square", { n: moved.x });
  same<Awaited<typeof task.result>, number>(true);
  const value: { value: string } = await sd.run("get", { key: loud });
  const slept: number = await sd.sleep({ ms: 1 });
  const hash: string = await sd.hash({ data: value.value });
  await sd.schedule("square", { n: 1 }, { cron: "@daily" });
  const known: unknown = await sd.anything({ hash, slept, nothing });
  void known;

  const many = sd.submitMany([{ op: "square", args: { n: 1 } }, { op: "square", args: { n: 2 } }]);
  for await (const end of many) {
    same<typeof end, ManyEnd<number>>(true);
    if (end.status === "completed") same<typeof end.result, number>(true);
  }
  const mixed = sd.submitMany([{ op: "square", args: { n: 1 } }, {
    op: "shout",
    args: { text: "ho" },
  }]);
  for await (const end of mixed) {
    if (end.status === "completed") same<typeof end.result, string | number>(true);
  }
  const { status } = await sd.get("0193a1c2");
  same<
    typeof status,
    "queued" | "delayed" | "running" | "completed" | "failed" | "cancelled" | "expired"
  >(true);
}

export async function wrongUses(sd: Client<Tasks>): Promise<void> {
  // @ts-expect-error an argument of another type
  await sd.square({ n: "7" });
  // @ts-expect-error an argument too few
  await sd.square({});
  // @ts-expect-error no arguments at all
  await sd.square();
  // @ts-expect-error an argument that the op has not
  await sd.square({ n: 7, m: 8 });
  // @ts-expect-error another op than there is
  await sd.sqare({ n: 7 });
  // @ts-expect-error another value than the op takes
  await sd.shout({ text: "hey" });
  // @ts-expect-error a result of another type
  const text: string = await sd.square({ n: 7 });
  // @ts-expect-error an option that no task has
  await sd.square({ n: 7 }, { retries: 3 });
  // @ts-expect-error an export that is no function
  await sd.LIMIT();
  // @ts-expect-error an export that is a class
  await sd.Helper({});
  // @ts-expect-error a name that is that of a method is the method
  await sd.get({ key: "a" });
  // @ts-expect-error another op than there is
  await sd.submit("sqare", { n: 7 });
  // @ts-expect-error an argument of another type
  await sd.submit("square", { n: "7" });
  // @ts-expect-error an argument of another type
  await sd.run("get", { key: 1 });
  // @ts-expect-error a recurring task has no result
  await sd.square({ n: 7 }, { cron: "@daily" });
  // @ts-expect-error an argument of another type
  sd.submitMany([{ op: "square", args: { n: "7" } }]);
  // @ts-expect-error the arguments of another op
  sd.submitMany([{ op: "square", args: { n: 1 } }, { op: "shout", args: { n: 1 } }]);
  void text;
}

/** Without a task file: built-in ops by name, all others by `run`, with unknown arguments and results. */
export async function untypedUses(sd: Client): Promise<void> {
  const squared: number | string = await sd.square({ n: "12345678901234567890" });
  const resized: unknown = await sd.run("resize", { path: "a.png" });
  const plain = await (await sd.submit("resize")).result;
  same<typeof plain, unknown>(true);
  // @ts-expect-error only ops that every server has are methods
  await sd.resize({ path: "a.png" });
  // @ts-expect-error an argument of another type
  await sd.sleep({ ms: "1" });
  // @ts-expect-error lines are sent inside the library only
  sd.submitLine({ json: "{}", id: undefined, wait: true });
  void [squared, resized];
}

/** The names that an editor offers after `client.`: the documented calls, and the ops. */
same<
  Exclude<keyof Client, keyof BuiltinTasks>,
  | "backup"
  | "cancel"
  | "close"
  | "crons"
  | "end"
  | "exportRecords"
  | "followLog"
  | "get"
  | "health"
  | "hello"
  | "importText"
  | "list"
  | "logs"
  | "ops"
  | "pause"
  | "pauseCron"
  | "ping"
  | "removeCron"
  | "resume"
  | "resumeCron"
  | "retry"
  | "run"
  | "schedule"
  | "stats"
  | "submit"
  | "submitMany"
  | "target"
  | "wait"
  | "watch"
  | "why"
  | typeof Symbol.asyncDispose
>(true);
same<
  OpName<Tasks>,
  | "square"
  | "move"
  | "shout"
  | "stamp"
  | "tick"
  | "get"
  | "big"
  | "anything"
  | "echo"
  | "sleep"
  | "hash"
>(true);
same<ArgsOf<Tasks, "move">, { point: { x: number; y?: number }; by?: number }>(true);
same<
  ResultOf<Tasks, "stamp">,
  {
    at: string;
    places: (number | null)[];
    pair: readonly ["a", 1];
    nothing: null;
    note?: string;
  }
>(true);
same<ResultOf<Tasks, "big">, never>(true);
same<ResultOf<Tasks, "anything">, unknown>(true);
same<AsJson<Date>, string>(true);
same<AsJson<Map<string, number>>, Record<string, never>>(true);
same<
  AsJson<{ a?: number; b: number | undefined; c: unknown }>,
  { a?: number; b?: number; c?: unknown }
>(true);
same<AsJson<string | undefined>, string | null>(true);
same<AsJson<{ id: string & { readonly brand: unique symbol } }>["id"] extends string ? 1 : 2, 1>(
  true,
);
same<AsJson<{ deep: { when: Date }[] }>, { deep: { when: string }[] }>(true);
