/**
 * How sd starts itself again: the command with its permissions, the environment, and the executable. `deno task
 * compile` puts the same permissions into the executable, so this is the only list of them.
 *
 * A worker process must be of the same build as its server, also after the file of the executable was replaced or
 * removed, as every upgrade does. Deno starts no program without a path: a compiled sd reads itself by its path, and
 * the system then reports a path that ends with "(deleted)". So the file is held open from the start. Once the path
 * leads to another file, a copy of the open file is started, and removed when the new process is up.
 */

import { stateDirIfAny } from "../state_dir.ts";
import { makeOwnFolder, removeOwnFolder } from "./own_folders.ts";

/** Flags of `deno run` and `deno compile` for the whole program, which never prompts. */
export const ENTRY_PERMISSIONS: readonly string[] = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-run",
  "--no-prompt",
  "--unstable-worker-options",
];

/** Further permissions of worker processes, and of the compiled executable: task code can be allowed these. */
export const TASK_PERMISSIONS: readonly string[] = ["--allow-sys", "--allow-ffi"];

/**
 * Raises V8's own memory limit. At that limit, a quarter of the machine's memory, V8 ends the whole process with all
 * its tasks. The pool's limit for a task must come first. The flag cannot be set later, and a compiled executable
 * does not read it from the environment.
 */
export const HEAP_FLAG = "--v8-flags=--max-old-space-size=65536";

/** Flags for worker processes. Imports of task files are not in sd's lock file, and were fetched before. */
export const POOL_FLAGS_OF_DENO: readonly string[] = [
  ...TASK_PERMISSIONS,
  HEAP_FLAG,
  "--no-lock",
  "--cached-only",
];

/** Files that `deno compile` does not find by imports: the code of Web Workers, and the files that `sd init` writes. */
export const COMPILE_INCLUDES: readonly string[] = [
  "workers/worker.ts",
  "server/engine/sqlite/file/store_thread.ts",
  "examples/starter",
];

/**
 * The command that runs sd with `args`, in the same way as this process, with further `flags` for `deno run`. `path`
 * must be the executable of this process, or a copy of it.
 */
export function selfCommand(
  args: readonly string[],
  flags: readonly string[] = [],
  path = Deno.execPath(),
): { path: string; args: string[] } {
  if (Deno.build.standalone) return { path, args: [...args] };
  const main = new URL("../../main.ts", import.meta.url);
  return {
    path,
    args: [
      "run",
      "--quiet",
      ...ENTRY_PERMISSIONS,
      ...flags,
      ...configFlags(),
      main.href,
      ...args,
    ],
  };
}

/** The command that fetches the imports of `files`, absolute paths, into the cache that worker processes read. */
export function fetchCommand(files: readonly string[]): { path: string; args: string[] } {
  const args = ["cache", "--quiet", "--no-lock", ...configFlags(), ...files];
  return { path: Deno.execPath(), args };
}

/** Empty if sd does not run from a folder: then the imports of its deno.json are already resolved. */
function configFlags(): string[] {
  const config = new URL("../../deno.json", import.meta.url);
  return config.protocol === "file:" ? ["--config", pathOf(config)] : [];
}

function pathOf(url: URL): string {
  const path = decodeURIComponent(url.pathname);
  return Deno.build.os === "windows" ? path.slice(1).replaceAll("/", "\\") : path;
}

/**
 * Variables that the program and its runtime need. The others are left out: the server's environment can hold secrets,
 * and a worker process needs none of them.
 */
const KEPT_VARIABLES = [
  "HOME",
  "PATH",
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "TMPDIR",
  "LANG",
  "NO_COLOR",
  "TZ",
  // The sources of packages that task files import, and the proxies to them.
  "NPM_CONFIG_REGISTRY",
  "JSR_URL",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
  "NODE_EXTRA_CA_CERTS",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  // Windows does not start a program without these.
  "SystemRoot",
  "SystemDrive",
  "USERPROFILE",
  "LOCALAPPDATA",
  "APPDATA",
  "TEMP",
  "TMP",
];

/** The environment of a process that sd starts from itself. */
export function selfEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of KEPT_VARIABLES) {
    const value = Deno.env.get(name);
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

const COPY_CHUNK_BYTES = 1024 * 1024;
const FILE_NAME = Deno.build.os === "windows" ? "sd.exe" : "sd";

/** A program that can be started by its path, until `release` is called. */
export interface Startable {
  readonly path: string;
  release(): void;
}

/** The executable of this process. */
export class OwnExecutable {
  /** Its path when this process was started; later the system can report "(deleted)". */
  readonly path = Deno.execPath();
  readonly #identity = identityOf(this.path);
  /** `undefined` if the file may be started but not read. */
  readonly #file = openedOrNothing(this.path);
  /** Folders for copies; a folder from which no program can be started is removed from the list. */
  readonly #folders: (string | undefined)[] = [stateDirIfAny(), undefined];
  readonly #copies = new Set<string>();
  /** Copies are made one after another: they read the same file. */
  #copying: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** Whether the path now leads to another file, or to none. */
  get isReplaced(): boolean {
    return this.#identity === undefined || identityOf(this.path) !== this.#identity;
  }

  /** The program to start: the executable, or a copy if the path leads to another file. Throws if no copy can be made. */
  async startable(): Promise<Startable> {
    if (!this.isReplaced) return this.original;
    const copying = this.#copying.then(() => this.#copied());
    this.#copying = copying.catch(() => undefined);
    return await copying;
  }

  /** The program at the path, even if that leads to another file now. */
  get original(): Startable {
    return { path: this.path, release: () => {} };
  }

  async #copied(): Promise<Startable> {
    if (!this.#file) throw new Error(`${this.path} was replaced, and could not be read before`);
    let reason: unknown = new Error("no folder is left from which programs can be started");
    for (const folder of this.#folders) {
      try {
        return await this.#copy(this.#file, folder);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        reason = error;
      }
    }
    throw new Error(`${this.path} was replaced, and cannot be copied: ${messageOf(reason)}`, {
      cause: reason,
    });
  }

  /** Uses the folder of this copy no more: the system starts no programs from it. */
  refuse({ path }: Startable): void {
    const at = this.#folders.findIndex((folder) =>
      folder === undefined ? path !== this.path : path.startsWith(folder)
    );
    if (at >= 0 && path !== this.path) this.#folders.splice(at, 1);
  }

  /** Removes all copies; nothing can be started afterwards. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#copying;
    this.#file?.close();
    for (const folder of this.#copies) this.#remove(folder);
  }

  async #copy(file: Deno.FsFile, parent: string | undefined): Promise<Startable> {
    if (parent !== undefined) await Deno.mkdir(parent, { recursive: true });
    // No other user can write to this folder.
    const folder = makeOwnFolder("sd-executable", parent);
    this.#copies.add(folder);
    const path = `${folder}/${FILE_NAME}`;
    try {
      using copy = await Deno.open(path, { createNew: true, write: true, mode: 0o700 });
      const buffer = new Uint8Array(COPY_CHUNK_BYTES);
      await file.seek(0, Deno.SeekMode.Start);
      for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
        for (let at = 0; at < count;) at += await copy.write(buffer.subarray(at, count));
      }
    } catch (error) {
      this.#remove(folder);
      throw error;
    }
    return { path, release: () => this.#remove(folder) };
  }

  #remove(folder: string): void {
    if (this.#copies.delete(folder)) removeOwnFolder(folder);
  }
}

/** A text that identifies the file at `path`; `undefined` if it cannot be reached. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, size, mtime } = Deno.statSync(path);
    // The inode number is unique as long as the file is held open.
    return [dev, ino ?? mtime?.getTime(), size].join();
  } catch (error) {
    const { NotADirectory, NotFound, PermissionDenied } = Deno.errors;
    if (
      error instanceof NotFound || error instanceof NotADirectory ||
      error instanceof PermissionDenied
    ) return undefined;
    throw error;
  }
}

function openedOrNothing(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path);
  } catch (error) {
    const { NotFound, PermissionDenied } = Deno.errors;
    if (error instanceof NotFound || error instanceof PermissionDenied) return undefined;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
