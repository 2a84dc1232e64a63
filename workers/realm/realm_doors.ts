/**
 * Ways out of a worker for which the runtime asks no permission, found by trying all that it has
 * (`tests/system/realm_doors_test.ts` knows them by name): descriptors of the process, what is written to the
 * disk of the user, calls that end the process or change it for all.
 *
 * This is hygiene: it holds what we know of these runtimes. What holds the rest is that the work link
 * is sealed (`protocol/link_seal.ts`), that the parent believes and prints nothing of this process unseen, and that
 * a process can be killed.
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
  "tasks share no storage; return what is to be kept, or write a file where --allow-write lets them";
const NO_LOCK = "tasks share no locks; give the op a limit, or the tasks a key";
const NO_VSOCK = "a task cannot use vsock";
const NO_TEMP_STORE = "a task cannot say where SQLite keeps what is temporary: it is in memory";
const NO_TAG_STORE = "a task cannot use createTagStore; prepare its statements instead";

/** Of a stream by which something is read or written; what is not there in a runtime is not looked for. */
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
 * The worker's own handle of stdin, from which every function of `node:fs` could read the pool's orders. What is
 * written to the other two, as libraries for logs do, their parent shows as what it is (`cli/pool/pool_child.ts`).
 */
function closeInput(): void {
  process.getBuiltinModule("node:fs").closeSync(0);
}

/** What `new Socket({ fd })`, `listen({ fd })`, `bind({ fd })` and streams of terminals are made of. */
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
  // A getter that would load what it refuses.
  hide(globalThis, "caches", refusing(refused));
  const { prototype } = (globalThis as { LockManager?: { prototype: Namespace } }).LockManager ??
    {};
  if (prototype) forbid(prototype, ["request", "query"], NO_LOCK);
  keepSqliteInMemory();
}

/** Temporary tables and large sorts go to files of the system's temporary folder, whatever may be written. */
function keepSqliteInMemory(): void {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  // The methods are those of what it is made of.
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

/** What ends the process without a word, as calls do that need a flag for what is unstable. */
function closeEnds(): void {
  const deno = Deno as unknown as Namespace;
  for (const name of ["listen", "connect", "serve", "listenDatagram"]) {
    const original = deno[name];
    if (typeof original !== "function") continue;
    place(deno, name, (...args: unknown[]) => {
      // As it is then, not as a getter tells first.
      const copies = args.map((arg) => isPlain(arg) ? { ...arg } : arg);
      if (copies.some(isVsock)) throw new Error(NO_VSOCK);
      return apply(original, deno, copies);
    });
  }
  // Drivers of the machine in this process, which read and write files of their own.
  hide(getPrototypeOf(navigator), "gpu", undefined);
}

function isVsock(value: unknown): boolean {
  if (!isPlain(value)) return false;
  return "cid" in value || value.transport === "vsock";
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Calls throw, also those of the methods' own making out of their sight. */
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

/** Which of `object` and what it inherits from has `name`. */
function ownerOf(object: object, name: string): Namespace {
  for (let owner: object | null = object; owner; owner = getPrototypeOf(owner)) {
    if (ownKeys(owner).includes(name)) return owner as Namespace;
  }
  throw new TypeError(`there is no ${name}`);
}
