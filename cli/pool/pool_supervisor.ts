/**
 * The worker processes of one command, with their task files: fetches what the files import, keeps the process
 * running, watches the files if asked to, and logs what happens in words. `sd serve` and `sd work` each have one.
 *
 * Three layers start processes: `PoolChild` is one process, `PoolKeeper` replaces it whenever it ends, and
 * `PoolSupervisor` is the part that the command uses.
 *
 * Imports from registries and other hosts are fetched into Deno's cache before a worker process starts. The process
 * itself fetches nothing (`--cached-only`): Deno needs no permission for a package, so task code could send data out
 * in a computed package name. A compiled executable has no packages, and fetches nothing.
 */

import { ClientError } from "../../net/client_error.ts";
import { cutText } from "../../protocol/errors.ts";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { EXIT } from "../exit.ts";
import { type PoolEvent, PoolKeeper, type PoolKeeperOptions } from "./pool_keeper.ts";
import { fetchCommand, selfEnvironment } from "./self_command.ts";
import { describeReadable, readTaskSource } from "./task_files.ts";
import { TaskWatch } from "./task_watch.ts";

const WATCH_HINT = "with --watch, sd waits until the file is mended";
const MAX_REASON_CHARS = 400;

interface PoolSupervisorOptions extends PoolKeeperOptions {
  /** The arguments that named the task files, if these are watched. */
  readonly watch?: readonly string[] | undefined;
  readonly warn: (message: string) => void;
  /** A failure after which nothing runs. */
  readonly error: (message: string) => void;
  /** The command that the operator must restart after a failure. */
  readonly command: "sd serve" | "sd work";
  /** Sets the operator's notice, or clears it. */
  readonly notice?: (notice: { message: string; cure: string } | undefined) => void;
  readonly info: (message: string) => void;
  /** Output of the worker processes; it can contain any character. */
  readonly said: (message: string) => void;
}

export class PoolSupervisor {
  readonly #options: PoolSupervisorOptions;
  readonly #keeper: PoolKeeper;
  readonly #watch: TaskWatch | undefined;
  readonly #firstReady = Promise.withResolvers<void>();
  #wasReady = false;
  #loggedFault = "";
  /** Set while imports are fetched. */
  #fetching: AbortController | undefined;
  #loggedFetchFault: string | undefined;
  /** Why no process can be started; `undefined` if one can. */
  #failure: string | undefined;
  /** The notice that the executable was replaced. */
  #replaced: string | undefined;
  #loggedReadable = "";

  constructor(options: PoolSupervisorOptions) {
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

  /** Resolves once a process is connected; rejects with a `ClientError` if its task files do not load. */
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

  /** Kills the process with this pid, if it belongs to this pool; another takes its place. */
  kill(pid: number): void {
    this.#keeper.kill(pid);
  }

  /** Calls `next` once the imports of `files` are fetched; at once if there is nothing to fetch. */
  #whenFetched(files: readonly TaskFileRef[], next: () => void): void {
    // If the files change again during a fetch, only the last change counts.
    this.#fetching?.abort();
    const paths = files.map(({ path }) => path);
    this.#logReadable(paths);
    const toFetch = Deno.build.standalone
      ? []
      : paths.filter((path) => readTaskSource(path).importsFromElsewhere);
    if (toFetch.length === 0) return next();
    const { signal } = this.#fetching = new AbortController();
    fetchImports(toFetch, signal).catch((error: unknown) => {
      // Deno itself cannot be started: it was removed.
      if (signal.aborted || error instanceof Deno.errors.NotFound) return String(error);
      throw error;
    }).then((fault) => {
      if (signal.aborted) return;
      this.#fetching = undefined;
      // The worker process starts with what is in the cache. It reports a missing import itself, with the line.
      if (fault !== undefined && fault !== this.#loggedFetchFault) {
        this.#options.warn(`imports of task files: ${fault}`);
      }
      this.#loggedFetchFault = fault;
      next();
    }).catch((error: unknown) => this.#firstReady.reject(error));
  }

  /** Logs which files the text of the task files lets task code read, if that has changed. */
  #logReadable(paths: readonly string[]): void {
    const readable = describeReadable(paths);
    if (readable === this.#loggedReadable) return;
    this.#loggedReadable = readable;
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
        this.#loggedFault = "";
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
        // With these two codes, the process itself has logged the reason.
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
    // The fault of the task files was logged, and a restart does not cure it.
    if (this.#loggedFault !== "" || this.#failure === reason) return;
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
    // The keeper tries again in any case. A changed file can have new imports, which must be fetched first.
    if (!isWatched && !this.#fetching) {
      this.#whenFetched(this.#options.start.taskFiles, () => {});
    }
    if (message === this.#loggedFault) return;
    this.#loggedFault = message;
    const next = kept
      ? "the version before it goes on"
      : isWatched
      ? "waiting for a change"
      : "trying again";
    this.#options.warn(`${message}; ${next}`);
  }
}

/** Fetches all that `files` import. Resolves with the reason if that fails, else with `undefined`. */
async function fetchImports(
  files: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const { path, args } = fetchCommand(files);
  const { success, stderr } = await new Deno.Command(path, {
    args,
    clearEnv: true,
    env: { ...selfEnvironment(), NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    signal,
  }).output();
  return success ? undefined : reasonIn(new TextDecoder().decode(stderr));
}

/** The error in the output of Deno, and the last of its causes, which Deno numbers below it. */
function reasonIn(output: string): string {
  // Deno's advice to run it again makes no sense here.
  const [, what = output.trim()] = /^error: (.*?)(?:, run again with .*)?$/m.exec(output) ?? [];
  const causes = [...output.matchAll(/^ +\d+: (?!<unknown>)(.*)$/gm)]
    .map(([, cause = ""]) => cause);
  return cutText([what, ...causes.slice(-1)].join(": "), MAX_REASON_CHARS);
}
