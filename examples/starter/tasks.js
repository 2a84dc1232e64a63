/**
 * Your own tasks: every exported function is an op.
 *
 *     sd serve tasks.js --watch
 *     sd submit '{"op":"greet","name":"Ada"}'
 */
/// <reference path="./sd.d.ts" />
// @ts-check

/**
 * A handler gets what was submitted; what it returns is the result.
 * @param {{ name: string }} args
 */
export function greet({ name }) {
  return `Hello, ${name}!`;
}

/**
 * It may take its time, say how far it is, and stop when it shall.
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
 * What is not exported is no op.
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
 * A task that failed is tried again, unless its error says otherwise.
 * @param {{ times: number }} args
 * @param {TaskContext} ctx
 */
export function knock({ times }, { attempt }) {
  if (times > 5) throw new TaskError("nobody is there", { retry: false });
  if (attempt < times) throw new Error(`no answer to knock ${attempt}`);
  return `open after ${attempt}`;
}
/** @type {TaskOptions} */
knock.options = { attempts: 5, backoff: "200ms" };

/**
 * What it logs is kept with the task: `sd logs ID`.
 * @param {{ text: string }} args
 * @param {TaskContext} ctx
 */
export function count_words({ text }, ctx) {
  const words = text.split(/\s+/).filter((word) => word !== "");
  ctx.log("first and last:", words.at(0), words.at(-1));
  return words.length;
}

/**
 * It gets the results of tasks that it came after: `sd submit --after ID,ID`
 * @param {unknown} _
 * @param {TaskContext} ctx
 */
export function sum(_, { after }) {
  return Object.values(after).map(Number).reduce((a, b) => a + b, 0);
}

/**
 * A Standard Schema, by hand. With zod: `z.object({ price: z.number(), … })`
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
 * Wrong arguments are refused when they are submitted.
 * @param {{ price: number, count: number }} args
 */
export function invoice({ price, count }) {
  return { total: price * count };
}
/** @type {TaskOptions} */
invoice.options = { schema: ORDER };

/**
 * Task code may do nothing that `sd serve --allow-net=… --allow-read=…` does
 * not allow. An op can ask for less than that, and for a fresh worker each
 * time: here for what strangers wrote.
 * @param {{ formula: string }} args
 */
export function calculate({ formula }) {
  return new Function(`return (${formula});`)();
}
/** @type {TaskOptions} */
calculate.options = { timeout: "1s", permissions: "none", isolate: true };
