/**
 * The worker processes of the server: the pool that it starts itself, and the events of all work links. The events go to
 * the parts of the server that need them: progress, log lines, room for tasks, and processes that join and leave. The ends
 * of runs go to `ResultReports` directly. `doors.ts` starts the pool, `rooms.ts` uses the events.
 */

import { PoolSupervisor } from "../cli/pool/pool_supervisor.ts";
import { machineName } from "../cli/state_dir.ts";
import type { ServeConfig } from "./config.ts";
import type { Metrics } from "./metrics.ts";
import type { Dispatcher } from "./dispatch/dispatcher.ts";
import type { OpDirectory } from "./dispatch/op_directory.ts";
import type { PoolNotes } from "./dispatch/pool_notes.ts";
import type { SchemaChecks } from "./dispatch/schema_checks.ts";
import type { LeasedTask } from "./engine/engine.ts";
import type { Log } from "./log.ts";
import type { TaskEvents } from "./task/task_events.ts";
import { logLine } from "./task/task_log.ts";
import type { ReceptionOptions } from "./tcp/reception.ts";
import type { WorkLink } from "./tcp/link/work_link.ts";

/** Name of the server's own pool on its work link. */
const LOCAL_POOL = "local";
/** Most suspects that a line of the log names. */
const MAX_SUSPECTS = 10;

/** The server's own workers: a process of the same executable that connects back like any other. */
export function createLocalPool({ config, server, secret, log, notices, reconnect }: {
  readonly config: ServeConfig;
  readonly server: { readonly hostname: string; readonly port: number };
  readonly secret: string;
  readonly log: Log;
  readonly notices: Metrics["notices"];
  /** A process connects again after a lost link; otherwise another process takes its place. */
  readonly reconnect: boolean;
}): PoolSupervisor {
  const { workers, work, watch } = config;
  return new PoolSupervisor({
    start: {
      server,
      secret,
      workers,
      ...work,
      machine: machineName(),
      pool: LOCAL_POOL,
      reconnect,
    },
    watch,
    warn: (message) => log.warn("server", message),
    info: (message) => log.info("server", message),
    said: (message) => log.info("worker", message),
    error: (message) => log.error("server", message),
    command: "sd serve",
    notice(notice) {
      if (notice) notices.set("pool", notice);
      else notices.delete("pool");
    },
  });
}

/** The functions that a work link calls with its events. */
export function linkEvents({ events, dispatcher, notes, ops, schemas, log, onOwnPool, endOwn }: {
  readonly events: TaskEvents;
  readonly dispatcher: Dispatcher;
  readonly notes: PoolNotes;
  readonly ops: OpDirectory;
  readonly schemas: SchemaChecks;
  readonly log: Log;
  readonly onOwnPool: () => void;
  /** Kills an own worker process; another takes its place. */
  readonly endOwn: (pid: number) => void;
}): ReceptionOptions["links"] {
  return {
    progressed(task, progress) {
      if (events.watchers.any) events.watchers.publish("progress", task, { progress });
    },
    said(task, entries) {
      if (events.watchers.any) events.watchers.publish("log", task, { log: entries.map(logLine) });
    },
    hasRoom: () => dispatcher.kick(),
    joining: (link: WorkLink) => notes.joining(link),
    attached(link: WorkLink) {
      ops.add(link);
      schemas.joined(link);
      notes.joined(link);
      dispatcher.attach(link);
      if (link.isOwn) onOwnPool();
      else if (!link.isSingle) {
        const workers = link.workers === 1 ? "1 worker" : `${link.workers} workers`;
        log.info("server", `worker process ${link.pid} joined with ${workers}`);
      }
    },
    forged(link: WorkLink, what: string, tasks: readonly LeasedTask[]) {
      log.warn("security", forgedText(link.pid, what, tasks));
    },
    detached(link: WorkLink) {
      notes.left(link);
      dispatcher.detach(link);
      ops.remove(link);
      schemas.left(link);
      if (link.isSingle) return;
      if (!link.isOwn) log.info("server", `worker process ${link.pid} left`);
      // A frozen process would not see that its link has ended.
      else if (link.isCutOff) endOwn(link.pid);
    },
  };
}

/** Names the tasks, so that the operator can find the one whose code has done it. */
function forgedText(pid: number, what: string, tasks: readonly LeasedTask[]): string {
  const named = tasks.slice(0, MAX_SUSPECTS).map(({ op, id }) => `${op} ${id}`);
  const more = tasks.length - named.length;
  return `task code of worker process ${pid} has reached for its work link (${what}); ` +
    "nothing of that is believed, the link is cut, and what ran there runs again; " +
    (tasks.length === 0
      ? "it held no task then"
      : `suspects: ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`);
}
