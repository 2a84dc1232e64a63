/**
 * The ops of one worker process: the built-in ones, and the ones in its task files as they were when it started. It
 * knows the profile of each op, starts workers, and checks arguments. `PoolProcess` owns it.
 */

import { pathToFileURL } from "node:url";
import { readTaskSource, stampOf, type TaskSource } from "../../cli/pool/task_files.ts";
import { MAX_OPS } from "../../protocol/limits.ts";
import { type OpSpec, reportable } from "../../protocol/op_spec.ts";
import type { PoolWork, SingleOp } from "../../protocol/pool_start.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import { BUILTIN_OPS } from "../ops/builtin.ts";
import type { FoundOp } from "../bridge/thread_message.ts";
import { Inspector } from "./inspector.ts";
import { IMPORTABLE, LoadFault } from "../ops/load_fault.ts";
import {
  notAllowed,
  permissionTexts,
  type Profile,
  Profiles,
  workerPermissions,
} from "./profile.ts";
import type { TaskModule } from "../ops/task_modules.ts";

interface LibraryOptions {
  /** See `Inspector`. */
  readonly stuck: () => void;
  /** The process runs one task of these ops; another process has inspected the files. */
  readonly single?: readonly SingleOp[] | undefined;
}

export class TaskLibrary {
  readonly modules: readonly TaskModule[];
  readonly #work: PoolWork;
  readonly #stuck: () => void;
  readonly #profiles: Profiles;
  readonly #sources: readonly TaskSource[];
  readonly #files: readonly string[];
  readonly #stamp: string;
  readonly #specs = new Map<string, OpSpec>([...BUILTIN_OPS.keys()].map((op) => [op, { op }]));
  /** Profiles of ops that do not have the base profile. */
  readonly #special = new Map<string, Profile>();
  readonly #singles = new Map<string, SingleOp>();
  readonly #isSingle: boolean;
  #inspector: Inspector | undefined;
  #reopening: Promise<void> | undefined;

  /** Reads the text of the files; their ops are known after `load`. */
  constructor(work: PoolWork, { stuck, single }: LibraryOptions) {
    this.#work = work;
    this.#isSingle = single !== undefined;
    this.#stuck = stuck;
    this.#sources = work.taskFiles.map(({ path }) => readTaskSource(path));
    this.modules = work.taskFiles.map(({ path, name }, i) => ({
      url: pathToFileURL(path).href,
      name,
      unreadable: this.#sources[i]?.unreadable ?? [],
    }));
    this.#files = this.#sources.flatMap(({ files }) => files);
    this.#stamp = stampOf(this.#files);
    this.#profiles = new Profiles(work.permissions, this.#isSingle);
    if (!single) return;
    this.#specs.clear();
    for (const { op, file, permissions } of single) {
      const spec = { op, file, isolate: "process" } as const;
      this.#add({ spec, place: file, ...(permissions && { permissions }) });
    }
  }

  /** Loads the files. Throws a `LoadFault` for the first fault in them. */
  async load(): Promise<void> {
    // For a single task, another process has inspected the files.
    if (this.modules.length === 0 || this.#isSingle) return;
    const { inspector, ops } = await Inspector.open(this.#inspection());
    this.#inspector = inspector;
    for (const op of ops) this.#add(op);
    if (this.#specs.size > MAX_OPS) {
      throw new LoadFault(
        `these are ${this.#specs.size} ops, a server takes ${MAX_OPS} at most`,
      );
    }
  }

  close(): void {
    this.#inspector?.close();
  }

  get specs(): OpSpec[] {
    return reportable([...this.#specs.values()]);
  }

  /** The files that task code consists of. */
  get readable(): string[] {
    return this.#sources.flatMap(({ readable }) => readable);
  }

  /** The ops whose runs have a process of their own. */
  get single(): SingleOp[] {
    return [...this.#singles.values()];
  }

  /** The profile of all ops that do not ask for another. */
  get base(): Profile {
    return this.#profiles.base;
  }

  /** The files have changed since they were loaded: a new worker would run other code. */
  get isOutdated(): boolean {
    return stampOf(this.#files) !== this.#stamp;
  }

  /** Whether there is more than one profile. */
  get hasSpecial(): boolean {
    return this.#special.size > 0;
  }

  profileOf(op: string): Profile {
    return this.#special.get(op) ?? this.base;
  }

  /** A worker with the permissions of `profile` that has loaded nothing yet. Throws a `LoadFault`. */
  newWorker(profile: Profile): Worker {
    const files = this.readable;
    const hosts = this.#sources.flatMap(({ hosts }) => hosts);
    try {
      return new Worker(new URL("../worker.ts", import.meta.url), {
        type: "module",
        deno: { permissions: workerPermissions(profile.permissions, { files, hosts }) },
      });
    } catch (error) {
      // This process itself may import only from the hosts that Deno trusts.
      if (!(error instanceof Deno.errors.NotCapable) || hosts.length === 0) throw error;
      throw new LoadFault(
        `${this.#importer(hosts)}: it imports from ${hosts.join(", ")}; ${IMPORTABLE}`,
      );
    }
  }

  /** The fault that the schema of its op finds in each submit, or null. */
  async check(submits: [op: string, line: string][]): Promise<(SchemaFault | null)[]> {
    if (this.#inspector?.isGone) await (this.#reopening ??= this.#reopen());
    return await this.#inspector?.check(submits) ?? submits.map(() => null);
  }

  async #reopen(): Promise<void> {
    try {
      this.#inspector = (await Inspector.open(this.#inspection())).inspector;
    } catch (error) {
      // The files have changed: the next process that loads them reports it. Until then nothing is checked.
      if (!(error instanceof LoadFault)) throw error;
    } finally {
      this.#reopening = undefined;
    }
  }

  #importer(hosts: readonly string[]): string {
    const at = this.#sources.findIndex((source) =>
      source.hosts.some((host) => hosts.includes(host))
    );
    return this.modules[at]?.name ?? "a task file";
  }

  #inspection() {
    return {
      modules: this.modules,
      newWorker: () => this.newWorker(this.base),
      stuck: this.#stuck,
    };
  }

  #add({ spec, place, permissions }: FoundOp): void {
    const { op, file = "", isolate = false } = spec;
    const allowed = this.#work.permissions;
    const missing = permissions && notAllowed(permissions, allowed);
    if (missing) {
      throw new LoadFault(
        `${place}: ${op} asks for more than is allowed; it needs ${missing}`,
      );
    }
    if (isolate === "process") {
      this.#singles.set(op, { op, file, ...(permissions && { permissions }) });
    }
    if (isolate !== "process" || this.#isSingle) {
      const profile = this.#profiles.of({
        permissions: permissions ?? allowed,
        isolate: isolate !== false,
      });
      if (profile !== this.base) this.#special.set(op, profile);
    }
    const at = this.modules.findIndex(({ name }) => name === file);
    const version = this.#sources[at]?.version;
    this.#specs.set(op, {
      ...spec,
      ...(version && { version }),
      ...(permissions && { permissions: permissionTexts(permissions) }),
    });
  }
}
