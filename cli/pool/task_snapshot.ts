/**
 * The text of task files as they were when a worker process started with them. If they do not load any more, a process that
 * must be replaced is replaced by one of the version before: it loads a copy, in a folder of its own, laid out as the files
 * were.
 */

import { dirname, join } from "node:path";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { makeOwnFolder, removeOwnFolder } from "./own_folders.ts";
import { readTaskSource } from "./task_source.ts";

/** Files of more text together are not kept. */
const MAX_BYTES = 64 * 1024 * 1024;

export class TaskSnapshot {
  readonly #refs: readonly TaskFileRef[];
  readonly #texts = new Map<string, Uint8Array>();
  #folder: string | undefined;

  /** Reads the files, and what they import from beside them. */
  constructor(refs: readonly TaskFileRef[]) {
    this.#refs = refs;
    let bytes = 0;
    for (const path of new Set(refs.flatMap(({ path }) => [...readTaskSource(path).files]))) {
      const text = textOf(path);
      if (!text || (bytes += text.length) > MAX_BYTES) continue;
      this.#texts.set(path, text);
    }
  }

  /** Copies were asked for. */
  get isWritten(): boolean {
    return this.#folder !== undefined;
  }

  /** The copies, written when they are first asked for. Throws what the system says. */
  files(): TaskFileRef[] {
    const folder = this.#folder ??= this.#write();
    return this.#refs.map(({ path, name }) => ({ path: placeIn(folder, path), name }));
  }

  /** Removes the copies. */
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

/** Relative paths between files stay what they are. */
function placeIn(folder: string, path: string): string {
  return join(folder, path.replace(/^([A-Za-z]):/, "$1"));
}

function textOf(path: string): Uint8Array | undefined {
  try {
    return Deno.readFileSync(path);
  } catch {
    // Not there, or not for us: the loader meets it as well, and says so.
    return undefined;
  }
}
