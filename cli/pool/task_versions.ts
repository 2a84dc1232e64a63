/**
 * The versions of task files that worker processes load: the files as they are, or as they last loaded. If changed
 * files no longer load, a process that must be replaced gets the version before. It loads a copy of that text, in a
 * folder of its own, laid out as the files were. `PoolKeeper` asks for each start.
 */

import { dirname, join } from "node:path";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { makeOwnFolder, removeOwnFolder } from "./own_folders.ts";
import type { ChildStart, PoolChild } from "./pool_child.ts";
import { readTaskSource } from "./task_files.ts";

/** Most bytes of text that a snapshot keeps. */
const MAX_BYTES = 64 * 1024 * 1024;

/** The start of one process. */
interface ProcessLoad {
  readonly start: ChildStart;
  /** The text that it loads, if it is not an earlier version. */
  readonly snapshot?: TaskSnapshot;
}

export class TaskVersions {
  readonly #loads = new Map<PoolChild, ProcessLoad>();
  /** The task files as they last loaded. */
  #lastGood: TaskSnapshot | undefined;
  readonly #earlier: TaskSnapshot[] = [];
  /** The files do not load: the next process loads the version that did. */
  #fallsBack = false;

  /** The next process for `start`. It loads the files as they are, or falls back once if `mayFallBack`. */
  next(start: ChildStart, { mayFallBack }: { mayFallBack: boolean }): ProcessLoad {
    if (start.taskFiles.length === 0) return { start };
    const fallsBack = this.#fallsBack && mayFallBack;
    this.#fallsBack = false;
    if (fallsBack && this.#lastGood) {
      return { start: { ...start, taskFiles: this.#lastGood.files() } };
    }
    return { start, snapshot: new TaskSnapshot(start.taskFiles) };
  }

  started(child: PoolChild, load: ProcessLoad): void {
    this.#loads.set(child, load);
  }

  /** `child` has loaded its files. Returns its start. */
  loaded(child: PoolChild): ChildStart | undefined {
    const load = this.#loads.get(child);
    if (load?.snapshot) {
      // Processes that loaded a copy of the last version can still run.
      if (this.#lastGood?.isWritten) this.#earlier.push(this.#lastGood);
      this.#lastGood = load.snapshot;
    }
    return load?.start;
  }

  /** Whether `child` loads the files as they are, and not an earlier version. */
  loadsCurrent(child: PoolChild): boolean {
    return this.#loads.get(child)?.snapshot !== undefined;
  }

  /**
   * `child` found that the files do not load. Returns whether the next process falls back to the version before; it
   * does not while another process runs that version (`isSpare`).
   */
  failed(child: PoolChild, { isSpare }: { isSpare: boolean }): boolean {
    return this.#fallsBack = !isSpare && this.#lastGood !== undefined && this.loadsCurrent(child);
  }

  ended(child: PoolChild): void {
    this.#loads.delete(child);
  }

  /** Copies of the files as they last loaded; `undefined` if they never did. Throws if they cannot be written. */
  lastGoodFiles(): TaskFileRef[] | undefined {
    return this.#lastGood?.files();
  }

  /** Removes all copies. */
  remove(): void {
    for (const snapshot of this.#earlier) snapshot.remove();
    this.#lastGood?.remove();
  }
}

/** The text of task files at one moment. */
class TaskSnapshot {
  readonly #refs: readonly TaskFileRef[];
  readonly #texts = new Map<string, Uint8Array>();
  #folder: string | undefined;

  /** Reads the files, and the files that they import by relative paths. */
  constructor(refs: readonly TaskFileRef[]) {
    this.#refs = refs;
    let bytes = 0;
    for (const path of new Set(refs.flatMap(({ path }) => [...readTaskSource(path).files]))) {
      const text = textOf(path);
      if (!text || (bytes += text.length) > MAX_BYTES) continue;
      this.#texts.set(path, text);
    }
  }

  /** Whether copies are on disk. */
  get isWritten(): boolean {
    return this.#folder !== undefined;
  }

  /** The copies, written at the first call. Throws if that fails. */
  files(): TaskFileRef[] {
    const folder = this.#folder ??= this.#write();
    return this.#refs.map(({ path, name }) => ({ path: placeIn(folder, path), name }));
  }

  remove(): void {
    if (this.#folder === undefined) return;
    removeOwnFolder(this.#folder);
    this.#folder = undefined;
  }

  #write(): string {
    const folder = makeOwnFolder("sd-tasks");
    for (const [path, text] of this.#texts) {
      const place = placeIn(folder, path);
      Deno.mkdirSync(dirname(place), { recursive: true });
      Deno.writeFileSync(place, text);
    }
    return Deno.realPathSync(folder);
  }
}

/** Keeps the relative paths between files. */
function placeIn(folder: string, path: string): string {
  return join(folder, path.replace(/^([A-Za-z]):/, "$1"));
}

function textOf(path: string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(path);
  } catch {
    // It does not exist, or may not be read: the loader reports it.
    return undefined;
  }
}
