/**
 * Closes ways out of a worker for which the runtime asks no permission: descriptors of the process, storage on the
 * user's disk, calls that end the process or change it for all. They were found by trying every function of the
 * runtime (`tests/system/realm_doors_test.ts` lists them). `guardRealm` calls it.
 *
 * This is hygiene and no security boundary: it covers what is known of these runtimes. The boundary is the process
 * with its permissions. Its work link is sealed (`protocol/link_seal.ts`), its parent checks its output, and it can be
 * killed.
 */

import {
  apply,
  defineProperty,
  getPrototypeOf,
  indexOf,
  ownKeys,
  toLowerCase,
  toText,
} from "../primordials.ts";

type Namespace = Record<PropertyKey, unknown>;

const NO_DESCRIPTOR =
  "a task cannot open descriptors by number; open a file by its name, or connect to an address";
const NO_STORE =
  "tasks share no storage; return the data, or write a file where --allow-write lets them";
const NO_LOCK = "tasks share no locks; give the op a limit, or the tasks a key";
const NO_VSOCK = "a task cannot use vsock";
const NO_TEMP_STORE = "a task cannot choose where SQLite keeps temporary data: it is in memory";
const NO_TAG_STORE = "a task cannot use createTagStore; prepare its statements instead";

/** Methods of a terminal stream that read or write. Not every runtime has all of them. */
const STREAM_METHODS = [
  ...["readStart", "readStop", "shutdown", "useUserBuffer", "writeBuffer", "writev"],
  ...["writeAsciiString", "writeUtf8String", "writeUcs2String", "writeLatin1String"],
];

export function closeDoors(): void {
  closeInput();
  closeDescriptors();
  closeStores();
  closeEnds();
}

/**
 * Closes the worker's own handle of stdin: functions of `node:fs` could read the pool's orders from it. Output to the
 * other two, as libraries for logs write it, is logged by the parent as raw output (`cli/pool/pool_child.ts`).
 */
function closeInput(): void {
  process.getBuiltinModule("node:fs").closeSync(0);
}

/** Closes the functions under `new Socket({ fd })`, `listen({ fd })`, `bind({ fd })` and terminal streams. */
function closeDescriptors(): void {
  const { binding } = process as unknown as { binding(name: string): Record<string, unknown> };
  const prototypeOf = (from: string, name: string) =>
    (binding(from)[name] as { prototype: Namespace }).prototype;
  for (const [from, name] of [["tcp_wrap", "TCP"], ["pipe_wrap", "Pipe"], ["udp_wrap", "UDP"]]) {
    forbid(prototypeOf(from!, name!), ["open"], NO_DESCRIPTOR);
  }
  const terminal = prototypeOf("tty_wrap", "TTY");
  for (const name of STREAM_METHODS) {
    if (name in terminal) forbid(terminal, [name], NO_DESCRIPTOR);
  }
}

function closeStores(): void {
  const refused = {
    open: NO_STORE,
    has: NO_STORE,
    delete: NO_STORE,
    keys: NO_STORE,
    match: NO_STORE,
  };
  // Replaced without reading it: the getter would load the storage.
  hide(globalThis, "caches", refusing(refused));
  const { prototype } = (globalThis as { LockManager?: { prototype: Namespace } }).LockManager ??
    {};
  if (prototype) forbid(prototype, ["request", "query"], NO_LOCK);
  keepSqliteInMemory();
}

/** Keeps temporary data of SQLite in memory: by default it goes to temporary files, whatever the permissions. */
function keepSqliteInMemory(): void {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  // The methods belong to a base class.
  const owner = ownerOf(DatabaseSync.prototype, "exec");
  const exec = owner.exec as (sql: string) => void;
  const kept = new WeakSet<object>();
  const { add, has } = WeakSet.prototype;
  for (const name of ["exec", "prepare"]) {
    const original = owner[name] as (...args: unknown[]) => unknown;
    place(owner, name, function (this: object, sql: unknown, ...rest: unknown[]) {
      const text = typeof sql === "string" ? sql : toText(sql);
      if (indexOf(toLowerCase(text), "temp_store") >= 0) throw new Error(NO_TEMP_STORE);
      if (!apply(has, kept, [this])) {
        apply(exec, this, ["PRAGMA temp_store = MEMORY"]);
        apply(add, kept, [this]);
      }
      return apply(original, this, [text, ...rest]);
    });
  }
  if ("createTagStore" in owner) forbid(owner, ["createTagStore"], NO_TAG_STORE);
}

/** Closes calls that end the process: some that need an unstable flag of the runtime do. */
function closeEnds(): void {
  const deno = Deno as unknown as Namespace;
  for (const name of ["listen", "connect", "serve", "listenDatagram"]) {
    const original = deno[name];
    if (typeof original !== "function") continue;
    place(deno, name, (...args: unknown[]) => {
      // A copy: a getter could return another value at the second read.
      const copies = args.map((arg) => isPlain(arg) ? { ...arg } : arg);
      if (copies.some(isVsock)) throw new Error(NO_VSOCK);
      return apply(original, deno, copies);
    });
  }
  // Its libraries would run in this process, and read and write files of their own.
  hide(getPrototypeOf(navigator), "gpu", undefined);
}

function isVsock(value: unknown): boolean {
  if (!isPlain(value)) return false;
  return "cid" in value || value.transport === "vsock";
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Makes these methods throw, also when the runtime itself calls them. */
function forbid(owner: Namespace, names: readonly string[], message: string): void {
  for (const name of names) {
    hide(owner, name, () => {
      throw new Error(message);
    });
  }
}

function refusing(messages: Record<string, string>): Namespace {
  const object: Namespace = {};
  for (const name of ownKeys(messages) as string[]) forbid(object, [name], messages[name]!);
  return object;
}

function hide(owner: object, name: string, value: unknown): void {
  defineProperty(owner, name, { value, writable: false, enumerable: true, configurable: false });
}

function place(owner: object, name: string, value: unknown): void {
  defineProperty(owner, name, { value, writable: true, enumerable: true, configurable: true });
}

/** The object in the prototype chain of `object` that has the property `name`. */
function ownerOf(object: object, name: string): Namespace {
  for (let owner: object | null = object; owner; owner = getPrototypeOf(owner)) {
    if (ownKeys(owner).includes(name)) return owner as Namespace;
  }
  throw new TypeError(`there is no ${name}`);
}
