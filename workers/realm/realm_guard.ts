/**
 * Replaces functions that would end the worker, harm its process, or reach the pool: calls of them throw an error that
 * names an alternative. `TaskScope` calls it before any task file loads. If code can import a function by name from a
 * `node:` module, the function beneath it is replaced.
 *
 * This is hygiene: it prevents accidents and is no security boundary. The boundaries are permissions, a process of its
 * own, and the checks of the pool on all reports of a worker.
 */

import {
  apply,
  defineProperty,
  freeze,
  preventExtensions,
  setPrototypeOf,
} from "../primordials.ts";
import { closeDoors } from "./realm_doors.ts";

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

/** Guards this worker. Call it once, in a worker that is about to load task files, and never in a test. */
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
  // Libraries wrap the functions of `process`, but not these.
  for (const name of ["exit", "kill", "chdir"]) {
    defineProperty(deno, name, { writable: false, configurable: false });
  }
  refuseArguments(deno, "umask");
  const permissions = Deno.Permissions.prototype as unknown as Namespace;
  refuse(permissions, ["revoke", "revokeSync"], NO_CHANGE);
  // Signals belong to the pool. Libraries that listen for signals while they load must not fail.
  for (const name of ["addSignalListener", "removeSignalListener"]) place(deno, name, () => {});
}

/** Hides the runtime's internals: all its operations, also the ones of ports. */
function hideInsides(deno: Namespace): void {
  const key = deno.internal as symbol;
  const { nodeGlobals } = deno[key] as { nodeGlobals?: object };
  // In older runtimes, npm modules in the old format need these while they load.
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

/** Makes calls of these methods throw. Libraries can still wrap them. */
function refuse(target: Namespace, names: readonly string[], message: string): void {
  for (const name of names) {
    if (name in target) {
      place(target, name, () => {
        throw new Error(message);
      });
    }
  }
}

/** Makes calls with an argument throw; a call without one only reads. */
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

/** Makes `new` of a class throw, however code reached it: its constructor calls that of its prototype first. */
function refuseNew(made: object, message: string): void {
  setPrototypeOf(made, function () {
    throw new Error(message);
  });
  preventExtensions(made);
}

// Standard streams. The pool uses the real ones to talk to its parent, so a task must neither read its orders nor write
// between its lines.

const decoder = new TextDecoder();

/** Replaces the streams: input is empty, output goes to `console`, and so into the log of the task. */
function standInStreams(): void {
  standIn(Deno, "stdin", lazy(denoInput));
  standIn(Deno, "stdout", lazy(() => denoOutput("info")));
  standIn(Deno, "stderr", lazy(() => denoOutput("error")));
  standIn(process, "stdin", lazy(nodeInput));
  standIn(process, "stdout", lazy(() => nodeOutput(1, "info")));
  standIn(process, "stderr", lazy(() => nodeOutput(2, "error")));
}

/** A getter that makes its value at the first use: most tasks never use it. */
function lazy<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => made ??= make();
}

function standIn(owner: object, name: string, get: () => unknown): void {
  defineProperty(owner, name, { get, enumerable: true, configurable: false });
}

/** Prints `text` without its last line end, because `console` adds one. */
function print(level: "info" | "error", text: string): void {
  // deno-lint-ignore no-console
  console[level](text.endsWith("\n") ? text.slice(0, -1) : text);
}

function denoInput() {
  return {
    read: () => Promise.resolve(null),
    readSync: () => null,
    readable: new ReadableStream({ start: (controller) => controller.close() }),
    isTerminal: () => false,
    setRaw: () => undefined,
    close: () => undefined,
  };
}

function denoOutput(level: "info" | "error") {
  const writeSync = (bytes: Uint8Array) => {
    print(level, decoder.decode(bytes));
    return bytes.length;
  };
  return {
    write: (bytes: Uint8Array) => Promise.resolve(writeSync(bytes)),
    writeSync,
    writable: new WritableStream<Uint8Array>({ write: (bytes) => void writeSync(bytes) }),
    isTerminal: () => false,
    close: () => undefined,
  };
}

function nodeInput() {
  const { Readable } = process.getBuiltinModule("node:stream");
  return Object.assign(Readable.from([]), { fd: 0, isTTY: false });
}

function nodeOutput(fd: number, level: "info" | "error") {
  const { Writable } = process.getBuiltinModule("node:stream");
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: unknown, _encoding: unknown, done: () => void) {
      print(level, typeof chunk === "string" ? chunk : decoder.decode(chunk as Uint8Array));
      done();
    },
    // If a library ends stdout, the output of others must go on.
    final: (done: () => void) => done(),
  });
  return Object.assign(stream, { fd, isTTY: false });
}
