/**
 * A kept worker process with its task files: started with what is there, once what they import is fetched, given what
 * changes where that is asked for, and what happens to it in words. The same for `sd serve` and `sd work`.
 */

import { ClientError } from "../../net/client_error.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { EXIT } from "../exit.ts";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { fetchImports, thoseToFetch } from "./import_fetch.ts";
import { tellReadable } from "./task_source.ts";
import { type PoolEvent, PoolKeeper, type PoolKeeperOptions } from "./pool_keeper.ts";
import { TaskWatch } from "./task_watch.ts";

const WATCH_HINT = "with --watch, sd waits until the file is mended";

export interface WatchedPoolOptions extends PoolKeeperOptions {
  /** The arguments that named the task files: they are watched. */
  readonly watch?: readonly string[] | undefined;
  readonly warn: (message: string) => void;
  /** Nothing runs until it is mended. */
  readonly error: (message: string) => void;
  /** What the person who runs it must start again to mend it. */
  readonly command: "sd serve" | "sd work";
  /** There is something to mend, or, where nothing is given, no more. */
  readonly notice?: (notice: { message: string; cure: string } | undefined) => void;
  readonly info: (message: string) => void;
  /** What the worker processes say; it may hold any character. */
  readonly said: (message: string) => void;
}

export class WatchedPool {
  readonly #options: WatchedPoolOptions;
  readonly #keeper: PoolKeeper;
  readonly #watch: TaskWatch | undefined;
  readonly #firstReady = Promise.withResolvers<void>();
  #wasReady = false;
  #toldFault = "";
  /** There while imports are fetched. */
  #fetching: AbortController | undefined;
  #toldFetchFault: string | undefined;
  /** Why no process can be started; nothing where one can. */
  #failure: string | undefined;
  /** That the executable was replaced. */
  #replaced: string | undefined;
  #toldReadable = "";

  constructor(options: WatchedPoolOptions) {
    this.#options = options;
    const { start, watch, warn } = options;
    this.#firstReady.promise.catch(() => undefined);
    this.#keeper = new PoolKeeper({
      start,
      onEvent: (event) => this.#hear(event),
      onTalk: (pid, line, isRaw) =>
        options.said(isRaw ? `worker process ${pid} wrote: ${line}` : line),
    });
    if (watch) {
      this.#watch = new TaskWatch({
        args: watch,
        changed: (taskFiles) =>
          this.#whenFetched(taskFiles, () => this.#keeper.reload({ ...start, taskFiles })),
        fault: (message) => warn(`${message}; the version before it goes on`),
      });
    }
  }

  /** Resolves once a process is connected; rejects with a `ClientError` where its task files do not load. */
  get loaded(): Promise<void> {
    return this.#firstReady.promise;
  }

  start(): void {
    this.#watch?.start();
    this.#whenFetched(this.#options.start.taskFiles, () => this.#keeper.start());
  }

  async stop(graceMs: number): Promise<void> {
    this.#watch?.stop();
    this.#fetching?.abort();
    await this.#keeper.stop(graceMs);
  }

  /** Goes on with `next` once all that `files` import is there; at once where nothing is to be fetched. */
  #whenFetched(files: readonly TaskFileRef[], next: () => void): void {
    // Of changes that come while others are fetched, the last one counts.
    this.#fetching?.abort();
    this.#tellReadable(files.map(({ path }) => path));
    const elsewhere = thoseToFetch(files.map(({ path }) => path));
    if (elsewhere.length === 0) return next();
    const { signal } = this.#fetching = new AbortController();
    fetchImports(elsewhere, signal).catch((error: unknown) => {
      // Deno itself cannot be started: it was removed.
      if (signal.aborted || error instanceof Deno.errors.NotFound) return String(error);
      throw error;
    }).then((fault) => {
      if (signal.aborted) return;
      this.#fetching = undefined;
      // What is missing the worker process tells of as well, with its line; what is in the cache will do.
      if (fault !== undefined && fault !== this.#toldFetchFault) {
        this.#options.warn(`imports of task files: ${fault}`);
      }
      this.#toldFetchFault = fault;
      next();
    }).catch((error: unknown) => this.#firstReady.reject(error));
  }

  /** Kills the process with this pid, if it is one of this pool's; another takes its place. */
  kill(pid: number): void {
    this.#keeper.kill(pid);
  }

  /** The right to read is given by the text of the files: what that comes to is said, once for as long as it is the same. */
  #tellReadable(paths: readonly string[]): void {
    const readable = tellReadable(paths);
    if (readable === this.#toldReadable) return;
    this.#toldReadable = readable;
    if (readable !== "") {
      this.#options.info(`task code may read what task files import: ${readable}`);
    }
  }

  #hear(event: PoolEvent): void {
    this.#options.onEvent?.(event);
    const { warn, info } = this.#options;
    switch (event.type) {
      case "replaced":
        this.#replaced =
          `${event.path} was replaced or removed; worker processes are started from a ` +
          "copy of what runs";
        warn(`${this.#replaced}. For the new one: restart ${this.#options.command}`);
        this.#notify();
        break;
      case "failing":
        this.#failing(event.reason);
        break;
      case "ready":
        if (this.#failure !== undefined) info("worker processes can be started again");
        this.#failure = undefined;
        this.#notify();
        this.#toldFault = "";
        this.#wasReady = true;
        this.#firstReady.resolve();
        if (event.reloaded) info("task files have changed; their new version is loaded");
        break;
      case "frozen":
        warn(
          `worker process ${event.pid} has not answered for ${
            formatDuration(Math.round(event.ms / 1000) * 1000)
          }; it is killed`,
        );
        break;
      case "retiring":
        warn(`${event.why}; worker process ${event.pid} is replaced`);
        break;
      case "fault":
        this.#fault(event);
        break;
      case "exited":
        // Of these two the process itself has said why.
        if (!event.unexpected || event.code === EXIT.unauthorized || event.code === EXIT.usage) {
          break;
        }
        warn(
          `worker process ${event.pid} ended ${
            event.signal ? `by ${event.signal}` : `with code ${event.code}`
          }; another is started`,
        );
    }
  }

  #failing(reason: string): void {
    const { error, command } = this.#options;
    // What is wrong with task files was said, and restarting does not mend it.
    if (this.#toldFault !== "" || this.#failure === reason) return;
    this.#failure = reason;
    error(
      `no worker process can be started: ${reason}; trying again. To mend it: restart ${command}`,
    );
    this.#notify();
  }

  #notify(): void {
    const message = this.#failure === undefined
      ? this.#replaced
      : `no worker process can be started: ${this.#failure}`;
    const cure = `restart ${this.#options.command}`;
    this.#options.notice?.(message === undefined ? undefined : { message, cure });
  }

  #fault({ message, kept }: { message: string; kept: boolean }): void {
    const isWatched = this.#watch !== undefined;
    if (!this.#wasReady && !isWatched) {
      return this.#firstReady.reject(new ClientError("usage", message, { hint: WATCH_HINT }));
    }
    // It is tried again in any case; what a changed file imports may have to be fetched for that.
    if (!isWatched && !this.#fetching) {
      this.#whenFetched(this.#options.start.taskFiles, () => {});
    }
    if (message === this.#toldFault) return;
    this.#toldFault = message;
    const next = kept
      ? "the version before it goes on"
      : isWatched
      ? "waiting for a change"
      : "trying again";
    this.#options.warn(`${message}; ${next}`);
  }
}
