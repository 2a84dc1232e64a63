/**
 * Loads task files in a worker, and makes ops of the functions that they export. Code of a task file runs here for the
 * first time. Only a worker with task files loads this module.
 */

import { quote } from "../../protocol/errors.ts";
import { MAX_OP_CHARS } from "../../protocol/limits.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { TaskContext } from "./context.ts";
import { type Handler, TaskError } from "./handler.ts";
import { LoadFault, placeOf, placeOfLine } from "./load_fault.ts";
import { type OpOptions, readOpOptions } from "./op_options.ts";
import type { Checked, Schema } from "./schema.ts";

/** A task file for a worker. */
export interface TaskModule {
  /** `file://…` */
  readonly url: string;
  readonly name: string;
  /** Imports that may not be read, and why; see `LoadFault`. */
  readonly unreadable?: readonly (readonly [path: string, why: string])[];
}

/** An op of a task file. */
export interface LoadedOp {
  readonly spec: OpSpec;
  /** Its place, like `tasks.ts:12`. */
  readonly place: string;
  /** The permissions that it asks for; `undefined`: the same as all ops. */
  readonly permissions: TaskPermissions | undefined;
  readonly handler: Handler;
  readonly schema: Schema | undefined;
}

/** Generator functions: their body runs only with `next()`, which sd never calls. */
const GENERATORS = ["[object GeneratorFunction]", "[object AsyncGeneratorFunction]"];

/**
 * The ops of `modules`, by their names. Calls `loading` with the index of each module before it is loaded. Throws a
 * `LoadFault` for the first fault.
 */
export async function loadTaskModules(
  modules: readonly TaskModule[],
  loading?: (index: number) => void,
): Promise<Map<string, LoadedOp>> {
  Object.defineProperty(globalThis, "TaskError", { value: TaskError });
  const ops = new Map<string, LoadedOp>();
  const functions = new Map<string, unknown>();
  for (const [index, module] of modules.entries()) {
    loading?.(index);
    const { exported } = await importModule(module);
    const names = Object.keys(exported).sort();
    let found = 0;
    for (const name of names) {
      const value = exported[name];
      if (typeof value !== "function" || isClass(value)) continue;
      found++;
      const op = name === "default" ? defaultNameOf(value, module) : name;
      const other = ops.get(op);
      // A function that is exported both by name and as default is one op.
      if (other && functions.get(op) === value) continue;
      if (other) {
        throw new LoadFault(
          `${other.place} and ${placeOf(module, name)} both export ${quote(op)}: ` +
            "an op has one handler",
        );
      }
      functions.set(op, value);
      ops.set(op, loadedOp(op, value as Handler, { module, name }));
    }
    if (found === 0) {
      throw new LoadFault(`${module.name}: no op in it; ${cureOf(exported)}`);
    }
  }
  return ops;
}

/** The cure for a module that exports no op. */
function cureOf(exported: Record<string, unknown>): string {
  const { default: made } = exported;
  const isObject = typeof made === "object" && made !== null;
  const methods = isObject
    ? Object.entries(made).filter(([, value]) => typeof value === "function").map(([name]) => name)
    : [];
  const [method] = methods;
  if (method !== undefined) {
    return `its default export is an object; export its functions by their names: export const ${method} = …`;
  }
  return typeof made === "function"
    ? "its default export is a class; export a function, and it is one"
    : "export a function, and it is one";
}

async function importModule(
  module: TaskModule,
): Promise<{ exported: Record<string, unknown> }> {
  try {
    // No literal, so that the module and all its imports need the permissions of this worker.
    if (!exportsThen(module)) return { exported: await import(module.url) };
    // A promise of a module that exports `then` would call it, and never settle. A module that wraps it avoids that.
    const wrapper = `import * as module from ${JSON.stringify(module.url)}; export { module };`;
    const made = await import(`data:text/javascript,${encodeURIComponent(wrapper)}`);
    return { exported: made.module };
  } catch (error) {
    throw LoadFault.of(error, module);
  }
}

/** Whether the module may export `then`, judged by its text. */
function exportsThen(module: TaskModule): boolean {
  try {
    return /\bexport\b[^;]*\bthen\b/.test(Deno.readTextFileSync(new URL(module.url)));
  } catch {
    // The import reports why the file cannot be read.
    return false;
  }
}

function loadedOp(
  op: string,
  handler: Handler,
  { module, name }: { module: TaskModule; name: string },
): LoadedOp {
  const place = placeOf(module, name);
  const fault = (what: string) => new LoadFault(`${place}: ${what}`);
  if (op.length > MAX_OP_CHARS) {
    throw fault(`the name of an op has ${MAX_OP_CHARS} characters at most`);
  }
  if (GENERATORS.includes(Object.prototype.toString.call(handler))) {
    throw fault(
      `${op} is a generator; an op is a function that returns its result, or a promise of it`,
    );
  }
  let options: OpOptions;
  try {
    options = readOpOptions(op, (handler as { options?: unknown }).options);
  } catch (error) {
    const place = placeOfLine(module, new RegExp(`\\b${op}\\.options\\b`));
    throw new LoadFault(`${place}: ${(error as Error).message}`);
  }
  const { spec, schema, permissions } = options;
  return {
    place,
    spec: { op, file: module.name, ...spec, ...(schema && { schema: schema.spec }) },
    permissions,
    handler: schema ? checking(handler, schema) : handler,
    schema,
  };
}

/** `handler`, called with the output of `schema`. */
function checking(handler: Handler, schema: Schema): Handler {
  const run = (checked: Checked, ctx: TaskContext) => {
    if ("args" in checked) return handler(checked.args, ctx);
    throw new TaskError(faultText(checked.fault), { retry: false });
  };
  return (args, ctx) => {
    const checked = schema.check(args);
    return checked instanceof Promise ? checked.then((done) => run(done, ctx)) : run(checked, ctx);
  };
}

function faultText({ path, message }: SchemaFault): string {
  return path === "" ? `arguments: ${message}` : `argument ${path}: ${message}`;
}

/** The name of a default export: its own, or that of its file. */
function defaultNameOf({ name }: { name: string }, module: TaskModule): string {
  if (name !== "" && name !== "default") return name;
  return module.name.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");
}

function isClass(value: unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value));
}
