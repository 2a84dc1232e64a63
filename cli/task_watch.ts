/**
 * Watches task files, and all that they import from beside them, for a change of their text. Editors
 * replace files and write them in pieces: what counts is the text once nothing has happened for a moment.
 */

import { dirname } from "node:path";
import type { TaskFileRef } from "../protocol/pool_start.ts";
import { ClientError } from "./client_error.ts";
import { findTaskFiles } from "./task_files.ts";
import { readTaskSource } from "./task_source.ts";

const QUIET_MS = 100;

export interface TaskWatchOptions {
  /** Files and folders, as they were named on the command line. */
  readonly args: readonly string[];
  /** The files that are there now; the text of one of them is not what it was. */
  readonly changed: (files: TaskFileRef[]) => void;
  /** They cannot be read as they are. */
  readonly fault: (message: string) => void;
}

export class TaskWatch {
  readonly #options: TaskWatchOptions;
  #watcher: Deno.FsWatcher | undefined;
  #folders: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #seen = "";

  constructor(options: TaskWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#seen = this.#look()?.text ?? "";
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** What is there, as one text to compare; watches the folders in which it lies. */
  #look(): { text: string; files: TaskFileRef[] } | undefined {
    const { args, fault } = this.#options;
    try {
      const files = findTaskFiles(args);
      const sources = files.map(({ path }) => readTaskSource(path));
      const named = args.filter((arg) => Deno.statSync(arg).isDirectory);
      const own = sources.flatMap((source) => source.files.map(dirname));
      this.#watch([...new Set([...named, ...own])].filter(isThere).sort());
      return { text: JSON.stringify([files, sources.map(({ version }) => version)]), files };
    } catch (error) {
      fault(error instanceof ClientError ? error.message : String(error));
      return undefined;
    }
  }

  #watch(folders: string[]): void {
    if (this.#watcher && folders.join("\n") === this.#folders.join("\n")) return;
    this.#watcher?.close();
    this.#folders = folders;
    this.#watcher = Deno.watchFs(folders, { recursive: false });
    void this.#listen(this.#watcher);
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    for await (const { kind } of watcher) {
      if (kind === "access") continue;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#settle(), QUIET_MS);
    }
  }

  #settle(): void {
    const now = this.#look();
    if (!now || now.text === this.#seen) return;
    this.#seen = now.text;
    this.#options.changed(now.files);
  }
}

function isThere(folder: string): boolean {
  try {
    return Deno.statSync(folder).isDirectory;
  } catch {
    return false;
  }
}
