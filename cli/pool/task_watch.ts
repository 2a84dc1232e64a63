/**
 * Watches task files, and the files that they import by relative paths, for a change of their text. Editors replace
 * files and write them in pieces, so the text counts only after a moment without events. `PoolSupervisor` owns it.
 *
 * The system's events make it fast, but it does not depend on them: they end when a folder is deleted, do not report a
 * link with a new target, and do not exist on every file system. So all files are also checked every second.
 */

import { dirname } from "node:path";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { ClientError } from "../../net/client_error.ts";
import { findTaskFiles, readTaskSource, stampOf } from "./task_files.ts";

/** Time without an event after which a change is complete, in ms. */
const QUIET_MS = 100;
/** Longest delay of a look by events without a pause, in ms. */
const MAX_RESTLESS_MS = 2000;
/** Time between two looks without an event, in ms; more if they take long. */
const POLL_MS = 1000;
/** Largest part of the time that looks take. */
const POLL_SHARE = 1 / 100;

interface TaskWatchOptions {
  /** Files and folders, as they were named on the command line. */
  readonly args: readonly string[];
  /** The text has changed; `files` are the present task files. */
  readonly changed: (files: TaskFileRef[]) => void;
  /** The files cannot be read, at two looks in a row. */
  readonly fault: (message: string) => void;
}

/** The result of a look: the files, and a text that stands for their content. */
interface Sight {
  readonly text: string;
  readonly files: TaskFileRef[];
}

export class TaskWatch {
  readonly #options: TaskWatchOptions;
  #watcher: Deno.FsWatcher | undefined;
  #watched = "";
  #quiet: ReturnType<typeof setTimeout> | undefined;
  /** Start of the present series of events without a pause, in ms. */
  #restlessSince: number | undefined;
  #poll: ReturnType<typeof setTimeout> | undefined;
  #seen = "";
  /** All files with their imports; the last known ones while the files cannot be read. */
  #paths: readonly string[] = [];
  #stamp = "";
  /** Why the files cannot be read, and whether that was reported. */
  #fault: { readonly message: string; reported: boolean } | undefined;
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

  /** Reads all files; returns the reason as text if that fails. */
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

  /** Reported only when the next look finds the same: a file can be missing for a moment. */
  #miss(message: string): void {
    if (this.#fault?.message !== message) this.#fault = { message, reported: false };
    else if (!this.#fault.reported) {
      this.#fault.reported = true;
      this.#options.fault(message);
    }
  }

  #remember(): void {
    this.#watch();
    this.#stamp = this.#stampNow();
  }

  /** The state of the files as far as it can be seen without reading them. */
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
      else if (this.#fault && !this.#fault.reported) this.#settle();
      const tookMs = performance.now() - startedAt;
      if (!this.#stopped) this.#pollAfter(Math.max(POLL_MS, tookMs / POLL_SHARE));
    }, ms);
  }

  /** Looks once events pause, or after the longest delay in a folder with constant changes. */
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

  /** Watches the folders of all files, of links, and of their targets. */
  #watch(): void {
    const { args } = this.#options;
    const folders = [...args.map(dirname), ...args.filter(isFolder), ...this.#paths.map(dirname)];
    const there = [...new Set(folders)].filter(isFolder).sort();
    // A folder that was deleted and made again is another folder.
    const watched = `${there.join("\n")}\n${stampOfFolders(there)}`;
    if (this.#watcher && watched === this.#watched) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = watched;
    try {
      this.#watcher = Deno.watchFs(there, { recursive: false });
      void this.#listen(this.#watcher);
    } catch {
      // The system has no free watch, or the folder was just removed: the next look finds the change.
    }
  }

  async #listen(watcher: Deno.FsWatcher): Promise<void> {
    try {
      for await (const { kind } of watcher) {
        if (kind !== "access") this.#settleSoon();
      }
    } catch {
      // The watcher has failed; the next look makes another.
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
