/**
 * What a worker process of the compiled executable may read, as the kernel of Linux enforces it (Landlock). The
 * runtime asks for no permission when code of an executable imports a file: `import("/home/me/.docker/config.json")`
 * gives any JSON to every worker, and runs any JavaScript, whatever its permissions. Called once, by the main thread before it starts
 * a worker: each thread that begins later inherits the wall, and none can take it down.
 *
 * Only reading files has this wall. For all else the permissions of the runtime hold.
 */

import { dirname } from "node:path";
import type { TaskPermissions } from "../../protocol/pool_start.ts";

const CREATE = 444n;
const ADD = 445n;
const RESTRICT = 446n;
/** Asks `CREATE` for the version of Landlock. */
const VERSION = 1n;
const BENEATH_PATH = 1n;
const READ_FILE = 1n << 2n;
/** To move a file to another folder, which is else refused from version 2 on. */
const MOVE = 1n << 13n;
const MOVE_SINCE = 2n;
const SET_NO_NEW_PRIVILEGES = 38;
/** `O_PATH | O_CLOEXEC` */
const PATH_ONLY = 0o12000000;

/** What the runtime and the C library read by themselves: libraries, certificates, zones of time, how the machine is. */
const SYSTEM = [
  ...["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/nix/store", "/proc", "/sys"],
  ...["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty"],
  ...["/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/localtime"],
];
/** Names are looked up by these, which are replaced as the machine moves to another network. */
const NETWORK = ["/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"];
/** Who the user is. */
const USERS = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/os-release"];

const text = new TextEncoder();

/** Why there is no wall where there should be one; `undefined`: there is, or none is needed. */
export function raiseDiskWall(
  files: readonly string[],
  permissions: TaskPermissions,
): string | undefined {
  const { read = [], run, ffi } = permissions;
  // What is run may read whatever it likes, and would inherit the wall; the flags say that this ends the sandbox.
  if (!Deno.build.standalone || files.length === 0 || read === true || run || ffi) return undefined;
  if (Deno.build.os !== "linux") return `${Deno.build.os} has no means for it`;
  try {
    wallOff([...files, ...placesOf(permissions)]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Beside the task files. */
function placesOf({ read = [], net, sys }: TaskPermissions): string[] {
  return [
    ...SYSTEM,
    ...(net ? NETWORK : []),
    ...(sys ? USERS : []),
    ...(read === true ? [] : read.map(placeOf)),
  ];
}

/** Where a file may be replaced, or is not there yet, its folder: the wall knows files, not their names. */
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
    // Not there: then nobody can read it.
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
