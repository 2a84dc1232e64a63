/**
 * Limits the files that a worker process of the compiled executable can read, by Landlock of the Linux kernel. In an
 * executable, the runtime checks no permission when code imports a file: `import("/home/me/.docker/config.json")`
 * gives any JSON to every worker, and runs any JavaScript. The main thread calls this once, before it starts a worker:
 * each thread that begins later inherits the limit, and none can remove it.
 *
 * Only the reading of files is limited here. Everything else is limited by the permissions of the runtime.
 */

import { dirname } from "node:path";
import type { TaskPermissions } from "../../protocol/pool_start.ts";

const CREATE = 444n;
const ADD = 445n;
const RESTRICT = 446n;
/** Flag that makes `CREATE` return the version of Landlock. */
const VERSION = 1n;
const BENEATH_PATH = 1n;
const READ_FILE = 1n << 2n;
/** The right to move a file to another folder; from version 2 on it is refused unless given. */
const MOVE = 1n << 13n;
const MOVE_SINCE = 2n;
const SET_NO_NEW_PRIVILEGES = 38;
/** `O_PATH | O_CLOEXEC` */
const PATH_ONLY = 0o12000000;

/** Files that the runtime and the C library read: libraries, certificates, time zones, the state of the machine. */
const SYSTEM = [
  ...["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/nix/store", "/proc", "/sys"],
  ...["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty"],
  ...["/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/localtime"],
];
/** Files of the name lookup. They are replaced when the machine moves to another network, so their folders count. */
const NETWORK = ["/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"];
/** Files about users and the system. */
const USERS = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/os-release"];

const text = new TextEncoder();

/** Raises the wall. Returns why that failed; `undefined` if it is up, or not needed. */
export function raiseDiskWall(
  files: readonly string[],
  permissions: TaskPermissions,
): string | undefined {
  const { read = [], run, ffi } = permissions;
  // Programs and libraries may read anything, as the help of the flags says; they would inherit the wall.
  if (!Deno.build.standalone || files.length === 0 || read === true || run || ffi) return undefined;
  if (Deno.build.os !== "linux") return `${Deno.build.os} has no means for it`;
  try {
    wallOff([...files, ...placesOf(permissions)]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Paths that may be read besides the task files. */
function placesOf({ read = [], net, sys }: TaskPermissions): string[] {
  return [
    ...SYSTEM,
    ...(net ? NETWORK : []),
    ...(sys ? USERS : []),
    ...(read === true ? [] : read.map(placeOf)),
  ];
}

/**
 * The folder of a path: a rule is for a file and not for its name, and the file can be replaced, or not exist
 * yet.
 */
function placeOf(path: string): string {
  for (let place = path;; place = dirname(place)) {
    try {
      if (Deno.statSync(place).isDirectory || place === dirname(place)) return place;
    } catch (error) {
      if (place === dirname(place)) throw error;
    }
  }
}

function openLibc() {
  return Deno.dlopen("libc.so.6", {
    create: { name: "syscall", parameters: ["i64", "buffer", "usize", "i64"], result: "i64" },
    add: { name: "syscall", parameters: ["i64", "i64", "i64", "buffer", "i64"], result: "i64" },
    restrict: { name: "syscall", parameters: ["i64", "i64", "i64"], result: "i64" },
    prctl: { parameters: ["i32", "usize", "usize", "usize", "usize"], result: "i32" },
    open: { parameters: ["buffer", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
}

/** Throws if the kernel has no Landlock. */
function wallOff(places: readonly string[]): void {
  const libc = openLibc();
  try {
    restrictTo(places, libc.symbols);
  } finally {
    libc.close();
  }
}

function restrictTo(
  places: readonly string[],
  { create, add, restrict, prctl, open, close }: ReturnType<typeof openLibc>["symbols"],
): void {
  const version = create(CREATE, null, 0n, VERSION);
  if (version < 1n) throw new Error("this kernel has no Landlock");
  const canMove = version >= MOVE_SINCE;
  const handled = new BigUint64Array([canMove ? READ_FILE | MOVE : READ_FILE]);
  const rules = create(CREATE, handled, BigInt(handled.byteLength), 0n);
  if (rules < 0n) throw new Error("the kernel takes no rules of Landlock");
  const allow = (path: string, access: bigint) => {
    const place = open(text.encode(`${path}\0`), PATH_ONLY);
    // It does not exist, so it cannot be read.
    if (place < 0) return;
    const rule = new DataView(new ArrayBuffer(12));
    rule.setBigUint64(0, access, true);
    rule.setInt32(8, place, true);
    const failed = add(ADD, rules, BENEATH_PATH, new Uint8Array(rule.buffer), 0n) < 0n;
    close(place);
    if (failed) throw new Error(`Landlock takes no rule for ${path}`);
  };
  try {
    for (const place of places) allow(place, READ_FILE);
    if (canMove) allow("/", MOVE);
    if (prctl(SET_NO_NEW_PRIVILEGES, 1n, 0n, 0n, 0n) !== 0 || restrict(RESTRICT, rules, 0n) < 0n) {
      throw new Error("the kernel does not let this process restrict itself");
    }
  } finally {
    close(Number(rules));
  }
}

/** Drops the permissions that task code does not have: a worker gets none that its process lacks. */
export async function giveUpPermissions(allowed: TaskPermissions): Promise<void> {
  for (const name of ["write", "run", "env", "ffi", "sys"] as const) {
    if (allowed[name] === undefined) await Deno.permissions.revoke({ name });
  }
}
