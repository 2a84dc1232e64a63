/**
 * `sd work`: workers for a server, on its machine or another. It runs no task itself but keeps a
 * process that does; that process is the same command with `--pool`.
 */

import { ClientError } from "../cli/client_error.ts";
import { type Command, defineCommand } from "../cli/command.ts";
import { EXIT } from "../cli/exit.ts";
import { type PoolEvent, PoolKeeper } from "../cli/pool_keeper.ts";
import { POOL_FLAGS, poolWork } from "../cli/pool_flags.ts";
import { SERVER_FLAGS, targetOf } from "../cli/server_flags.ts";
import { poolSecretFile } from "../cli/state_dir.ts";
import { say } from "../cli/talk.ts";
import { formatTarget, type Target } from "../cli/target.ts";
import { MAX_WORKERS } from "../protocol/limits.ts";
import type { PoolWork } from "../protocol/pool_start.ts";

const SECRET_VARIABLE = "SD_POOL_SECRET";

export const work: Command = defineCommand({
  name: "work",
  summary: "run workers for a server, on this machine or another",
  flags: {
    ...SERVER_FLAGS,
    workers: {
      type: "integer",
      help: "tasks that run at a time (default: one per core)",
      value: "N",
      min: 1,
      max: MAX_WORKERS,
    },
    secretFile: {
      type: "string",
      help: `the file that holds the pool secret of the server; or set ${SECRET_VARIABLE}`,
      value: "FILE",
    },
    ...POOL_FLAGS,
    grace: {
      type: "duration",
      help: "how long running tasks may go on after Ctrl-C",
      value: "TIME",
      default: 10_000,
    },
    pool: { type: "boolean", help: "be the process that runs the tasks", hidden: true },
  },
  examples: [
    ["sd work", "one worker per core, for the server on this machine"],
    ["sd work --server 10.0.0.5:5000 --workers 8 --secret-file pool.secret", "on another machine"],
  ],
  async run({ flags }) {
    if (flags.pool) return await (await import("./pool_process.ts")).runPoolProcess();
    const server = targetOf(flags);
    const secret = await readSecret(server, flags.secretFile);
    const workers = flags.workers ?? navigator.hardwareConcurrency;
    return await supervise({
      server,
      secret,
      workers,
      work: poolWork(flags),
      graceMs: flags.grace,
    });
  },
});

interface Supervision {
  server: Target;
  secret: string;
  workers: number;
  work: PoolWork;
  graceMs: number;
}

async function supervise({ graceMs, work, ...start }: Supervision): Promise<number> {
  const ended = Promise.withResolvers<number>();
  const keeper = new PoolKeeper({
    start: { ...start, ...work, reconnect: true },
    onEvent(event) {
      tell(event);
      // The process itself has said why.
      if (event.type === "exited" && event.code === EXIT.unauthorized) {
        ended.resolve(EXIT.unauthorized);
      }
    },
  });
  let signals = 0;
  const onSignal = () => {
    if (++signals === 1) say("[worker] finishing what runs; once more to end at once");
    void keeper.stop(signals === 1 ? graceMs : 0).then(() => ended.resolve(EXIT.ok));
  };
  const names: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const name of names) Deno.addSignalListener(name, onSignal);
  try {
    keeper.start();
    return await ended.promise;
  } finally {
    for (const name of names) Deno.removeSignalListener(name, onSignal);
  }
}

function tell(event: PoolEvent): void {
  if (event.type === "retiring") {
    say(`[worker] a task would not stop; worker process ${event.pid} is replaced`);
  } else if (event.type === "exited" && event.unexpected && event.code !== EXIT.unauthorized) {
    const how = event.signal ? `by ${event.signal}` : `with code ${event.code}`;
    say(`[worker] worker process ${event.pid} ended ${how}; another is started`);
  }
}

/** From the environment, the file that was named, or what a server of the same user left here. */
async function readSecret(server: Target, file: string | undefined): Promise<string> {
  const given = Deno.env.get(SECRET_VARIABLE);
  if (given && file === undefined) return given.trim();
  const path = file ?? poolSecretFile(server.port);
  try {
    return (await Deno.readTextFile(path)).trim();
  } catch (error) {
    const what = file === undefined
      ? `no pool secret for ${formatTarget(server)}: ${path} is not there`
      : `cannot read the pool secret: ${error instanceof Error ? error.message : error}`;
    throw new ClientError("usage", what, {
      cause: error,
      hint: `name it with --secret-file, or set ${SECRET_VARIABLE}`,
    });
  }
}
