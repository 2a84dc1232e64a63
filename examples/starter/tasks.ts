/**
 * Your own tasks: every exported function is an op.
 *
 *     sd serve tasks.ts --watch
 *     sd submit '{"op":"greet","name":"Ada"}'
 */
/// <reference path="./sd.d.ts" />

/** A handler gets the submitted arguments; the returned value is the result. */
export function greet({ name }: { name: string }) {
  return `Hello, ${name}!`;
}

/** A slow task that reports its progress, and stops when it is cancelled. */
export async function countdown(
  { seconds }: { seconds: number },
  ctx: TaskContext,
) {
  for (let left = seconds; left > 0; left--) {
    ctx.progress(1 - left / seconds, `${left} s left`);
    await pause(1000, ctx.signal);
  }
  return "lift-off";
}
countdown.options = { timeout: "2m" } satisfies TaskOptions;

/** A function that is not exported is not an op. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** A failed task runs again, unless its error says `retry: false`. */
export function knock({ times }: { times: number }, { attempt }: TaskContext) {
  if (times > 5) throw new TaskError("the door stays closed", { retry: false });
  if (attempt < times) throw new Error(`no answer to knock ${attempt}`);
  return `open after ${attempt}`;
}
knock.options = { attempts: 5, backoff: "200ms" } satisfies TaskOptions;

/** The log of a task is kept with it: `sd logs ID` shows it. */
export function count_words({ text }: { text: string }, ctx: TaskContext) {
  const words = text.split(/\s+/).filter((word) => word !== "");
  ctx.log("first and last:", words.at(0), words.at(-1));
  return words.length;
}

/** A task gets the results of the tasks in `--after`: `sd submit --after ID,ID`. */
export function sum(_: unknown, { after }: TaskContext) {
  return Object.values(after).map(Number).reduce((a, b) => a + b, 0);
}

interface Order {
  price: number;
  count: number;
}

/** A Standard Schema without a library. With zod: `z.object({ price: z.number(), … })`. */
const ORDER: TaskSchema<Order> = {
  "~standard": {
    version: 1,
    vendor: "tasks.ts",
    validate(args) {
      const { price, count = 1 } = args as Partial<Order>;
      if (typeof price !== "number") {
        return { issues: [{ path: ["price"], message: "a number" }] };
      }
      if (typeof count !== "number" || count < 1) {
        return { issues: [{ path: ["count"], message: "1 or more" }] };
      }
      return { value: { price, count } };
    },
  },
};

/** Wrong arguments are refused when the task is submitted. */
export function invoice({ price, count }: Order) {
  return { total: price * count };
}
invoice.options = { schema: ORDER } satisfies TaskOptions;

/**
 * Task code can do only what `sd serve --allow-net=… --allow-read=…` allows.
 * An op can ask for less, and for a fresh worker for each run: here because
 * strangers write the formula.
 */
export function calculate({ formula }: { formula: string }) {
  return new Function(`return (${formula});`)();
}
calculate.options = {
  timeout: "1s",
  permissions: "none",
  isolate: true,
} satisfies TaskOptions;
