/**
 * Takes from a worker, before it loads any task file, what would end it, hurt its process or reach what is
 * the pool's: a refusal stands in its place. Where code can come to a function by a named import of a
 * `node:` module, it is what that function is made of that refuses.
 *
 * This is for code that does not know better, and makes it hard for code that does. What no task gets
 * round is elsewhere: permissions, a process of its own, and that the pool checks what a worker says.
 */

import {
  apply,
  defineProperty,
  freeze,
  preventExtensions,
  setPrototypeOf,
} from "../primordials.ts";
import { closeDoors } from "./realm_doors.ts";
import { standInStreams } from "./realm_streams.ts";

type Namespace = Record<PropertyKey, unknown>;

const NO_END = "a task cannot end its worker; return or throw instead";
const NO_SIGNAL =
  "a task cannot send signals; to stop a program that it started, kill its ChildProcess";
const NO_CHANGE = "a task cannot change this for the whole process";
const NO_WORKER = "a task cannot start workers; submit another task, or start a program";
const NO_CHANNEL =
  "tasks cannot talk to each other by BroadcastChannel; their workers share nothing";
const NO_MESSAGE = "a task cannot post messages; what it returns is its result";
const NO_FLAGS = "a task cannot set flags of the engine";

/** For every worker that is about to load task files. Once, and not where tests run. */
export function guardRealm(): void {
  closeDoors();
  standInStreams();
  guardDeno();
  guardProcess();
  guardGlobals();
}

function guardDeno(): void {
  const deno = Deno as unknown as Namespace;
  hideInsides(deno);
  refuse(deno, ["exit"], NO_END);
  refuse(deno, ["kill"], NO_SIGNAL);
  refuse(deno, ["chdir"], NO_CHANGE);
  // Libraries wrap those of `process`, and none of these.
  for (const name of ["exit", "kill", "chdir"]) {
    defineProperty(deno, name, { writable: false, configurable: false });
  }
  refuseArguments(deno, "umask");
  const permissions = Deno.Permissions.prototype as unknown as Namespace;
  refuse(permissions, ["revoke", "revokeSync"], NO_CHANGE);
  // Signals are the pool's. Libraries that listen for them as they load shall load.
  for (const name of ["addSignalListener", "removeSignalListener"]) place(deno, name, () => {});
}

/** The runtime's own insides: every op, those of ports as well. */
function hideInsides(deno: Namespace): void {
  const key = deno.internal as symbol;
  const { nodeGlobals } = deno[key] as { nodeGlobals?: object };
  // Modules of npm in the old format ask for these as they load, in older runtimes.
  const shown = nodeGlobals === undefined ? {} : { nodeGlobals: freeze({ ...nodeGlobals }) };
  defineProperty(deno, key, { value: freeze(shown), writable: false, configurable: false });
}

function guardProcess(): void {
  const namespace = process as unknown as Namespace;
  refuse(namespace, ["exit", "reallyExit", "abort"], NO_END);
  refuse(namespace, ["kill", "_kill"], NO_SIGNAL);
  refuse(namespace, ["chdir"], NO_CHANGE);
  refuseArguments(namespace, "umask");
  const v8 = process.getBuiltinModule("node:v8") as unknown as Namespace;
  refuse(v8, ["setFlagsFromString"], NO_FLAGS);
}

function guardGlobals(): void {
  const global = globalThis as unknown as Namespace;
  refuse(global, ["close"], NO_END);
  refuse(global, ["postMessage"], NO_MESSAGE);
  const { Worker: NodeWorker } = process.getBuiltinModule("node:worker_threads");
  refuseNew(Worker, NO_WORKER);
  refuseNew(NodeWorker, NO_WORKER);
  refuseNew(BroadcastChannel, NO_CHANNEL);
}

/** Calls of these methods throw. Who wraps them, as libraries do, wraps the refusal. */
function refuse(target: Namespace, names: readonly string[], message: string): void {
  for (const name of names) {
    if (name in target) {
      place(target, name, () => {
        throw new Error(message);
      });
    }
  }
}

/** Without an argument it only asks. */
function refuseArguments(target: Namespace, name: string): void {
  const original = target[name];
  if (typeof original !== "function") return;
  place(target, name, (...args: unknown[]) => {
    if (args.length > 0) throw new Error(NO_CHANGE);
    return apply(original, target, []);
  });
}

function place(target: Namespace, name: string, value: unknown): void {
  defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

/** Makes `new` of this class throw, however code came to it: its constructor calls this one first. */
function refuseNew(made: object, message: string): void {
  setPrototypeOf(made, function () {
    throw new Error(message);
  });
  preventExtensions(made);
}
