/**
 * `sd work`: workers for a server, on the same machine or another. It runs no task itself: it keeps a process that
 * does, which is the same command with `--pool`.
 */

import { ClientError } from "../net/client_error.ts";
import { type Command, defineCommand } from "../cli/command.ts";
import { EXIT } from "../cli/exit.ts";
import {
  idlePoolFlags,
  POOL_FLAGS,
  poolWork,
  readPoolSecret,
  SECRET_VARIABLE,
  TASK_FILE_ARGS,
} from "../cli/pool/pool_flags.ts";
import { SERVER_FLAGS, targetOf } from "../cli/server_flags.ts";
import { StopSignals } from "../cli/stop_signals.ts";
import { machineName, poolSecretFile } from "../cli/state_dir.ts";
import { escapeControls, say, talkBesideWork } from "../cli/talk.ts";
import { formatTarget, type Target } from "../net/target.ts";
import { PoolSupervisor } from "../cli/pool/pool_supervisor.ts";
import { MAX_WORKERS } from "../protocol/limits.ts";
import type { PoolWork } from "../protocol/pool_start.ts";

export const work: Command = defineCommand({
  name: "work",
  summary: "run more workers for a server, on this machine or another",
  positional: TASK_FILE_ARGS,
  maxArgs: Infinity,
  flags: {
    ...SERVER_FLAGS,
    workers: {
      type: "integer",
      help: "tasks that run at the same time (default: one per core)",
      value: "N",
      min: 1,
      max: MAX_WORKERS,
    },
    secretFile: {
      type: "string",
      help: `file with the pool secret of the server; or set ${SECRET_VARIABLE}`,
      value: "FILE",
    },
    ...POOL_FLAGS,
    grace: {
      type: "duration",
      help: "time for running tasks to finish after Ctrl-C",
      value: "TIME",
      default: 10_000,
    },
    pool: { type: "boolean", help: "be the process that runs the tasks", hidden: true },
  },
  examples: [
    ["sd work", "one worker per core, for the server on this machine"],
    ["sd work tasks.ts", "with the functions of a file as ops"],
    ["sd work --server 10.0.0.5:5000 --workers 8 --secret-file pool.secret", "on another machine"],
  ],
  async run({ flags, args }) {
    if (flags.pool) return await (await import("./pool_process.ts")).runPoolProcess();
    const signals = new StopSignals();
    talkBesideWork((lines) =>
      `[worker] ${lines} ${lines === 1 ? "line" : "lines"} could not be written`
    );
    const server = targetOf(flags);
    const secret = await readSecret(server, flags.secretFile);
    const workers = flags.workers ?? navigator.hardwareConcurrency;
    const work = poolWork(args, flags);
    const watch = flags.watch ? args : undefined;
    for (const idle of idlePoolFlags(args, flags)) say(`[worker] ${idle}`);
    return await supervise({ server, secret, workers, work, watch, signals, graceMs: flags.grace });
  },
});

interface Supervision {
  server: Target;
  secret: string;
  workers: number;
  work: PoolWork;
  watch: readonly string[] | undefined;
  signals: StopSignals;
  graceMs: number;
}

async function supervise(supervision: Supervision): Promise<number> {
  const { server, secret, workers, work, watch, signals, graceMs } = supervision;
  const ended = Promise.withResolvers<number>();
  const log = (message: string) => say(`[worker] ${message}`);
  const pool = new PoolSupervisor({
    // By this name the server recognizes a process that replaces another.
    start: {
      server,
      secret,
      workers,
      ...work,
      machine: machineName(),
      pool: crypto.randomUUID(),
      reconnect: true,
    },
    watch,
    warn: log,
    info: log,
    said: (message) => log(escapeControls(message)),
    error: log,
    command: "sd work",
    onEvent(event) {
      // The process itself has logged the reason.
      if (event.type === "exited" && event.code === EXIT.unauthorized) {
        ended.resolve(EXIT.unauthorized);
      }
    },
  });
  pool.loaded.catch(ended.reject);
  let count = 0;
  const forget = signals.listen(() => {
    if (++count === 1) {
      log("waiting for running tasks to finish; a second signal ends them at once");
    }
    void pool.stop(count === 1 ? graceMs : 0).then(() => ended.resolve(EXIT.ok));
  });
  try {
    pool.start();
    return await ended.promise;
  } finally {
    forget();
    await pool.stop(0);
  }
}

/** The pool secret: from the environment, the named file, or the file that a server of the same user wrote here. */
async function readSecret(server: Target, file: string | undefined): Promise<string> {
  const given = Deno.env.get(SECRET_VARIABLE);
  if (given && file === undefined) return readPoolSecret(given, SECRET_VARIABLE);
  const path = file ?? poolSecretFile(server.port);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    const what = file === undefined
      ? `no pool secret for ${formatTarget(server)}: ${path} is not there`
      : `cannot read the pool secret: ${error instanceof Error ? error.message : error}`;
    throw new ClientError("usage", what, {
      cause: error,
      hint: `name it with --secret-file, or set ${SECRET_VARIABLE}`,
    });
  }
  return readPoolSecret(text, path);
}
