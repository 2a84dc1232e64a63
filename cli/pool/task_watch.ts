/**
 * Watches task files, and all that they import from beside them, for a change of their text. Editors
 * replace files and write them in pieces: what counts is the text once nothing has happened for a moment.
 *
 * The system's events make it quick, and are not relied on: they end with a folder that is deleted, say nothing of a link
 * that leads elsewhere, and are not there on every file system. So everything is looked at now and then as well.
 */

import { dirname } from "node:path";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { ClientError } from "../../net/client_error.ts";
import { findTaskFiles, readTaskSource, stampOf } from "./task_files.ts";

/** Without an event for so long, in ms, what was begun is done. */
const QUIET_MS = 100;
/** Longest time that events without a pause put off a look, in ms. */
const MAX_RESTLESS_MS = 2000;
/** Time between two looks without an event, in ms; more if they take long. */
const POLL_MS = 1000;
/** A look takes at most this part of the time. */
const POLL_SHARE = 1 / 100;

export interface TaskWatchOptions {
  /** Files and folders, as they were named on the command line. */
  readonly args: readonly string[];
  /** The files that are there now; the text of one of them is not what it was. */
  readonly changed: (files: TaskFileRef[]) => void;
  /** They cannot be read as they are, and that is not over in a moment. */
  readonly fault: (message: string) => void;
}

/** What is there: the files, and all their text in short, to compare. */
interface Sight {
  readonly text: string;
  readonly files: TaskFileRef[];
}

export class TaskWatch {
  readonly #options: TaskWatchOptions;
  #watcher: Deno.FsWatcher | undefined;
  #watched = "";
  #quiet: ReturnType<typeof setTimeout> | undefined;
  /** Since when events come without a pause, in ms. */
  #restlessSince: number | undefined;
  #poll: ReturnType<typeof setTimeout> | undefined;
  #seen = "";
  /** All files that belong to it, those that are imported included; while they cannot be read, as they were last. */
  #paths: readonly string[] = [];
  #stamp = "";
  /** Why they cannot be read, and whether that was told. */
  #fault: { readonly message: string; told: boolean } | undefined;
  #stopped = false;

  constructor(options: TaskWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const sight = this.#look();
    this.#seen = typeof sight === "string" ? "" : sight.text;
    this.#remember();
    this.#pollAfter(POLL_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#quiet);
    clearTimeout(this.#poll);
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  /** Reads everything; returns why that cannot be done where it cannot. */
  #look(): Sight | string {
    try {
      const files = findTaskFiles(this.#options.args);
      const sources = files.map(({ path }) => readTaskSource(path));
      this.#paths = [...new Set(sources.flatMap((source) => source.files))];
      const text = JSON.stringify([files, sources.map(({ version }) => version)]);
      return { text, files };
    } catch (error) {
      return error instanceof ClientError ? error.message : String(error);
    }
  }

  /** Something may have changed. */
  #settle(): void {
    const sight = this.#look();
    this.#remember();
    if (typeof sight === "string") return this.#miss(sight);
    this.#fault = undefined;
    if (sight.text === this.#seen) return;
    this.#seen = sight.text;
    this.#options.changed(sight.files);
  }

  /** Told when the next look finds the same: a file may be gone for a moment only. */
  #miss(message: string): void {
    if (this.#fault?.message !== message) this.#fault = { message, told: false };
    else if (!this.#fault.told) {
      this.#fault.told = true;
      this.#options.fault(message);
    }
  }

  #remember(): void {
    this.#watch();
    this.#stamp = this.#stampNow();
  }

  /** What can be seen from outside, without reading a file. */
  #stampNow(): string {
    const named = this.#options.args.map((arg) => {
      try {
        const path = Deno.realPathSync(arg);
        const { isDirectory, ino } = Deno.statSync(path);
        const names = isDirectory ? [...Deno.readDirSync(path)].map(({ name }) => name).sort() : [];
        return JSON.stringify([path, ino, names]);
      } catch {
        return "";
      }
    });
    return [...named, stampOf(this.#paths)].join("\n");
  }

  #pollAfter(ms: number): void {
    this.#poll = setTimeout(() => {
      const startedAt = performance.now();
      const isOther = this.#stampNow() !== this.#stamp;
      if (isOther) this.#settleSoon();
      else if (this.#fault && !this.#fault.told) this.#settle();
      const tookMs = performance.now() - startedAt;
      if (!this.#stopped) this.#pollAfter(Math.max(POLL_MS, tookMs / POLL_SHARE));
    }, ms);
  }

  /** Once nothing happens any more; a folder in which something always does is looked at all the same. */
  #settleSoon(): void {
    const now = performance.now();
    this.#restlessSince ??= now;
    clearTimeout(this.#quiet);
    const waitMs = now - this.#restlessSince >= MAX_RESTLESS_MS ? 0 : QUIET_MS;
    this.#quiet = setTimeout(() => {
      this.#restlessSince = undefined;
      this.#settle();
    }, waitMs);
  }

  /** Watches the folders in which everything lies, those of links and of what they lead to. */
  #watch(): void {
    const { args } = this.#options;
    const folders = [...args.map(dirname), ...args.filter(isFolder), ...this.#paths.map(dirname)];
    const there = [...new Set(folders)].filter(isFolder).sort();
    // One that was deleted and made again is another.
    const watched = `${there.join("\n")}\n${stampOfFolders(there)}`;
    if (this.#watcher && watched === this.#watched) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = watched;
    try {
      this.#watcher = Deno.watchFs(there, { recursive: false });
      void this.#listen(this.#watcher);
    } catch {
      // The system has no more watches, or the folder went at this moment: the next look will do.
    }
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind } of watcher) {
        if (kind !== "access") this.#settleSoon();
      }
    } catch {
      // It is of no more use; the next look makes another.
      if (watcher === this.#watcher) this.#watcher = undefined;
    }
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function stampOfFolders(folders: readonly string[]): string {
  return folders.map((folder) => {
    try {
      const { ino, dev } = Deno.statSync(folder);
      return `${dev} ${ino}`;
    } catch {
      return "";
    }
  }).join("\n");
}
