/**
 * The executable that this process runs, so that it can be started again after its file was replaced or removed,
 * as every upgrade does. A worker process must be of the same build as its server, and Deno starts no program that has no
 * path: a compiled sd reads itself by its path, and the path that the system knows ends with "(deleted)". So the
 * file is held open from the start, and a copy of it is started where the path leads to another file. A
 * copy lies there only until the process that was started from it is up.
 */

import { makeOwnFolder, removeOwnFolder } from "./own_folders.ts";
import { stateDirIfAny } from "../state_dir.ts";

const COPY_CHUNK_BYTES = 1024 * 1024;
const FILE_NAME = Deno.build.os === "windows" ? "sd.exe" : "sd";

/** A program that can be started by its path until `release` is called. */
export interface Startable {
  readonly path: string;
  release(): void;
}

export class OwnExecutable {
  /** Its path as this process was started; later the system may say "(deleted)". */
  readonly path = Deno.execPath();
  readonly #identity = identityOf(this.path);
  /** Nothing where it may be started and not read. */
  readonly #file = openedOrNothing(this.path);
  /** Where copies are made; what turns out to start no programs is left out. */
  readonly #folders: (string | undefined)[] = [stateDirIfAny(), undefined];
  readonly #copies = new Set<string>();
  /** Copies are made one after the other: they read the same file. */
  #copying: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** Whether its path leads to another file now, or to none. */
  get isReplaced(): boolean {
    return this.#identity === undefined || identityOf(this.path) !== this.#identity;
  }

  /** What to start; a copy if the path leads to another file. Throws if none can be made. */
  async startable(): Promise<Startable> {
    if (!this.isReplaced) return this.original;
    const copying = this.#copying.then(() => this.#copied());
    this.#copying = copying.catch(() => undefined);
    return await copying;
  }

  /** By its path, which may lead to another file. */
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

  /** The system starts no programs from the folder of this copy. */
  refuse({ path }: Startable): void {
    const at = this.#folders.findIndex((folder) =>
      folder === undefined ? path !== this.path : path.startsWith(folder)
    );
    if (at >= 0 && path !== this.path) this.#folders.splice(at, 1);
  }

  /** Removes all copies; nothing can be started after that. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#copying;
    this.#file?.close();
    for (const folder of this.#copies) this.#remove(folder);
  }

  async #copy(file: Deno.FsFile, parent: string | undefined): Promise<Startable> {
    if (parent !== undefined) await Deno.mkdir(parent, { recursive: true });
    // No other user can put anything into it.
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

/** What tells one file from another; `undefined` if there is none that can be reached. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, size, mtime } = Deno.statSync(path);
    // No file has the number of another one that is held open.
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
