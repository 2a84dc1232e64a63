/**
 * The files that `sd init` writes, by their names: those of `examples/starter`, put here by
 * `deno task starter`. Change them there.
 */

export const STARTER_FILES = {
  "sd.d.ts": `\
/**
 * What a task file can use without importing it, for your editor and for
 * \`deno check\`. Written by \`sd init\`; a task file names it in a line of its own:
 *
 *     /// <reference path="./sd.d.ts" />
 */

/** What a handler is handed beside its arguments: \`export function op(args, ctx) {…}\`. */
interface TaskContext {
  /** The task's id. */
  readonly id: string;
  /** Counted from 1. */
  readonly attempt: number;
  /** The results of the tasks that this one came after, by their ids. */
  readonly after: Record<string, unknown>;
  /** Whether the task shall stop; true at once, also in a loop that never awaits. */
  readonly cancelled: boolean;
  /** Aborts when the task shall stop: it was cancelled, or it reached its time limit. */
  readonly signal: AbortSignal;
  /** Says how far the task is, from 0 to 1. As often as is convenient. */
  readonly progress: (fraction: number, note?: string) => void;
  /** Keeps a line with the task: \`sd logs ID\` shows it. \`console.log\` does the same. */
  readonly log: (...values: unknown[]) => void;
}

/** An error that can say that another attempt is of no use. */
declare class TaskError extends Error {
  readonly name: "TaskError";
  /** \`false\`: the task fails now, whatever attempts it has left. */
  readonly retry: boolean;
  constructor(message: string, options?: { retry?: boolean; cause?: unknown });
}

type TaskTimeUnit = "ms" | "s" | "m" | "h" | "d";

/** Like \`"500ms"\`, \`"30s"\`, \`"5m"\`; a number counts milliseconds. */
type TaskDuration = number | \`\${number}\${TaskTimeUnit}\`;

/** What an op asks for: \`op.options = {…} satisfies TaskOptions\`. */
interface TaskOptions {
  /** So long may one attempt run, then it is stopped. Default: a minute. */
  timeout?: TaskDuration;
  /** Most attempts when the handler throws or times out, 1 to 100. Default: 1. */
  attempts?: number;
  /** Before attempt 2, doubling after each, at most an hour. Default: a second. */
  backoff?: TaskDuration;
  /** From submit; not started any more after it. Default: never. */
  expires?: TaskDuration;
  /** Tasks of the op that run at a time, on all workers together. Default: any number. */
  limit?: number;
  /** Tasks of the op that start in a time, like \`"10/1m"\`. Default: any number. */
  rate?: \`\${number}/\${number | ""}\${TaskTimeUnit}\`;
  /** Checks the arguments on submit: of zod, valibot, arktype, or your own. */
  schema?: TaskSchema;
  /** What its runs may do. Default: all that \`sd serve --allow-…\` allows. */
  permissions?: "none" | TaskPermissions;
  /** Each run has a fresh worker, where nothing is left of another one, or a process of its own. */
  isolate?: boolean | "process";
}

/** \`true\`: all of it; a list: only those; absent: nothing. */
interface TaskPermissions {
  /** Hosts, like \`"example.com"\` or \`"127.0.0.1:8080"\`. */
  net?: boolean | string[];
  /** Files and folders. */
  read?: boolean | string[];
  write?: boolean | string[];
  /** Names of environment variables. */
  env?: boolean | string[];
  sys?: boolean | string[];
  /** Programs. */
  run?: boolean | string[];
  ffi?: boolean;
}

/** A Standard Schema, version 1: https://standardschema.dev. */
interface TaskSchema<Args = unknown> {
  readonly "~standard": {
    readonly version: 1;
    /** Who made it. */
    readonly vendor: string;
    /** What the handler gets, or what is wrong with what was submitted. */
    readonly validate: (
      args: unknown,
    ) => TaskSchemaResult<Args> | Promise<TaskSchemaResult<Args>>;
    readonly types?: unknown;
  };
}

type TaskSchemaResult<Args> =
  | { readonly value: Args; readonly issues?: undefined }
  | { readonly issues: readonly TaskSchemaIssue[] };

interface TaskSchemaIssue {
  readonly message: string;
  readonly path?: readonly TaskSchemaKey[] | undefined;
}

type TaskSchemaKey = PropertyKey | { readonly key: PropertyKey };
`,
  "tasks.js": `\
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
  return \`Hello, \${name}!\`;
}

/**
 * It may take its time, say how far it is, and stop when it shall.
 * @param {{ seconds: number }} args
 * @param {TaskContext} ctx
 */
export async function countdown({ seconds }, ctx) {
  for (let left = seconds; left > 0; left--) {
    ctx.progress(1 - left / seconds, \`\${left} s left\`);
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
  if (attempt < times) throw new Error(\`no answer to knock \${attempt}\`);
  return \`open after \${attempt}\`;
}
/** @type {TaskOptions} */
knock.options = { attempts: 5, backoff: "200ms" };

/**
 * What it logs is kept with the task: \`sd logs ID\`.
 * @param {{ text: string }} args
 * @param {TaskContext} ctx
 */
export function count_words({ text }, ctx) {
  const words = text.split(/\\s+/).filter((word) => word !== "");
  ctx.log("first and last:", words.at(0), words.at(-1));
  return words.length;
}

/**
 * It gets the results of tasks that it came after: \`sd submit --after ID,ID\`
 * @param {unknown} _
 * @param {TaskContext} ctx
 */
export function sum(_, { after }) {
  return Object.values(after).map(Number).reduce((a, b) => a + b, 0);
}

/**
 * A Standard Schema, by hand. With zod: \`z.object({ price: z.number(), … })\`
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
 * Task code may do nothing that \`sd serve --allow-net=… --allow-read=…\` does
 * not allow. An op can ask for less than that, and for a fresh worker each
 * time: here for what strangers wrote.
 * @param {{ formula: string }} args
 */
export function calculate({ formula }) {
  return new Function(\`return (\${formula});\`)();
}
/** @type {TaskOptions} */
calculate.options = { timeout: "1s", permissions: "none", isolate: true };
`,
  "tasks.ts": `\
/**
 * Your own tasks: every exported function is an op.
 *
 *     sd serve tasks.ts --watch
 *     sd submit '{"op":"greet","name":"Ada"}'
 */
/// <reference path="./sd.d.ts" />

/** A handler gets what was submitted; what it returns is the result. */
export function greet({ name }: { name: string }) {
  return \`Hello, \${name}!\`;
}

/** It may take its time, say how far it is, and stop when it shall. */
export async function countdown(
  { seconds }: { seconds: number },
  ctx: TaskContext,
) {
  for (let left = seconds; left > 0; left--) {
    ctx.progress(1 - left / seconds, \`\${left} s left\`);
    await pause(1000, ctx.signal);
  }
  return "lift-off";
}
countdown.options = { timeout: "2m" } satisfies TaskOptions;

/** What is not exported is no op. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** A task that failed is tried again, unless its error says otherwise. */
export function knock({ times }: { times: number }, { attempt }: TaskContext) {
  if (times > 5) throw new TaskError("nobody is there", { retry: false });
  if (attempt < times) throw new Error(\`no answer to knock \${attempt}\`);
  return \`open after \${attempt}\`;
}
knock.options = { attempts: 5, backoff: "200ms" } satisfies TaskOptions;

/** What it logs is kept with the task: \`sd logs ID\`. */
export function count_words({ text }: { text: string }, ctx: TaskContext) {
  const words = text.split(/\\s+/).filter((word) => word !== "");
  ctx.log("first and last:", words.at(0), words.at(-1));
  return words.length;
}

/** It gets the results of tasks that it came after: \`sd submit --after ID,ID\` */
export function sum(_: unknown, { after }: TaskContext) {
  return Object.values(after).map(Number).reduce((a, b) => a + b, 0);
}

interface Order {
  price: number;
  count: number;
}

/** A Standard Schema, by hand. With zod: \`z.object({ price: z.number(), … })\` */
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

/** Wrong arguments are refused when they are submitted. */
export function invoice({ price, count }: Order) {
  return { total: price * count };
}
invoice.options = { schema: ORDER } satisfies TaskOptions;

/**
 * Task code may do nothing that \`sd serve --allow-net=… --allow-read=…\` does
 * not allow. An op can ask for less than that, and for a fresh worker each
 * time: here for what strangers wrote.
 */
export function calculate({ formula }: { formula: string }) {
  return new Function(\`return (\${formula});\`)();
}
calculate.options = {
  timeout: "1s",
  permissions: "none",
  isolate: true,
} satisfies TaskOptions;
`,
} as const;
