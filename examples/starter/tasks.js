/**
 * Your own tasks: every exported function is an op.
 *
 *     sd serve tasks.js --watch
 *     sd submit '{"op":"greet","name":"Ada"}'
 */
/// <reference path="./sd.d.ts" />
// @ts-check

/**
 * A handler gets the submitted arguments; the returned value is the result.
 * @param {{ name: string }} args
 */
export function greet({ name }) {
  return `Hello, ${name}!`;
}

/**
 * A slow task that reports its progress, and stops when it is cancelled.
 * @param {{ seconds: number }} args
 * @param {TaskContext} ctx
 */
export async function countdown({ seconds }, ctx) {
  for (let left = seconds; left > 0; left--) {
    ctx.progress(1 - left / seconds, `${left} s left`);
    await pause(1000, ctx.signal);
  }
  return "lift-off";
}
/** @type {TaskOptions} */
countdown.options = { timeout: "2m" };

/**
 * A function that is not exported is not an op.
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/**
 * A failed task runs again, unless its error says `retry: false`.
 * @param {{ times: number }} args
 * @param {TaskContext} ctx
 */
export function knock({ times }, { attempt }) {
  if (times > 5) throw new TaskError("the door stays closed", { retry: false });
  if (attempt < times) throw new Error(`no answer to knock ${attempt}`);
  return `open after ${attempt}`;
}
/** @type {TaskOptions} */
knock.options = { attempts: 5, backoff: "200ms" };

/**
 * The log of a task is kept with it: `sd logs ID` shows it.
 * @param {{ text: string }} args
 * @param {TaskContext} ctx
 */
export function count_words({ text }, ctx) {
  const words = text.split(/\s+/).filter((word) => word !== "");
  ctx.log("first and last:", words.at(0), words.at(-1));
  return words.length;
}

/**
 * A task gets the results of the tasks in `--after`: `sd submit --after ID,ID`.
 * @param {unknown} _
 * @param {TaskContext} ctx
 */
export function sum(_, { after }) {
  return Object.values(after).map(Number).reduce((a, b) => a + b, 0);
}

/**
 * A Standard Schema without a library. With zod: `z.object({ price: z.number(), … })`.
 * @type {TaskSchema<{ price: number, count: number }>}
 */
const ORDER = {
  "~standard": {
    version: 1,
    vendor: "tasks.js",
    validate(args) {
      const { price, count = 1 } = Object(args);
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

/**
 * Wrong arguments are refused when the task is submitted.
 * @param {{ price: number, count: number }} args
 */
export function invoice({ price, count }) {
  return { total: price * count };
}
/** @type {TaskOptions} */
invoice.options = { schema: ORDER };

/**
 * Task code can do only what `sd serve --allow-net=… --allow-read=…` allows.
 * An op can ask for less, and for a fresh worker for each run: here because
 * strangers write the formula.
 * @param {{ formula: string }} args
 */
export function calculate({ formula }) {
  return new Function(`return (${formula});`)();
}
/** @type {TaskOptions} */
calculate.options = { timeout: "1s", permissions: "none", isolate: true };
