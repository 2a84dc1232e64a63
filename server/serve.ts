/** `sd serve`: the flags, the server they ask for, and its life until a signal ends it. */

import { ClientError } from "../cli/client_error.ts";
import { defineCommand } from "../cli/command.ts";
import { EXIT } from "../cli/exit.ts";
import { inLanguage, speak } from "../cli/language.ts";
import { POOL_FLAGS, poolWork, TASK_FILE_ARGS } from "../cli/pool_flags.ts";
import { DEFAULT_HOST, DEFAULT_PORT } from "../cli/target.ts";
import { VERSION } from "../cli/version.ts";
import { MAX_WORKERS } from "../protocol/limits.ts";
import { systemClock } from "./clock.ts";
import { checkAddress, readTlsFiles, readTokens } from "./config.ts";
import { DURABILITIES } from "./engine/engine_options.ts";
import { ENGINE_URLS, openEngine } from "./engine/open.ts";
import { untilStopSignal } from "./lifecycle.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "./limits.ts";
import { LOG_FORMATS, LOG_LEVELS, openLog } from "./log.ts";
import { MESSAGES } from "./messages.ts";
import { keepPoolSecret } from "./pool_secret_file.ts";
import { type Server, type ServerOptions, startServer } from "./server.ts";
import { newPoolSecret } from "./tcp/pool_secret.ts";

const MIB = 1024 * 1024;

export const serve = defineCommand({
  name: "serve",
  summary: "run the server, with workers of its own",
  positional: TASK_FILE_ARGS,
  maxArgs: Infinity,
  flags: {
    workers: {
      type: "integer",
      help: "workers on this machine; 0: only those that come by sd work (default: one per core)",
      value: "N",
      min: 0,
      max: MAX_WORKERS,
    },
    host: {
      type: "string",
      help: "address to listen on",
      value: "HOST",
      default: DEFAULT_HOST,
    },
    port: {
      type: "integer",
      help: "port to listen on; 0: any free one",
      value: "PORT",
      min: 0,
      max: 65535,
      default: DEFAULT_PORT,
    },
    engine: {
      type: "string",
      help: `what keeps the tasks: ${ENGINE_URLS.join(", ")}`,
      value: "URL",
      env: "SD_ENGINE",
      default: "sqlite:",
    },
    data: {
      type: "string",
      help: "folder of the tasks' file; default: the state directory of the user",
      value: "DIR",
      env: "SD_DATA",
    },
    durability: {
      type: "string",
      help: "what is acknowledged survives a power failure (full), or only the end of sd (normal)",
      value: "LEVEL",
      choices: DURABILITIES,
      default: "full",
    },
    maxKept: {
      type: "integer",
      help: "records of final tasks in the file; the oldest go first",
      value: "N",
      min: 0,
      max: 1_000_000_000,
      default: 1_000_000,
    },
    maxFileMib: {
      type: "integer",
      help: "use of the file, in MiB, above which records of final tasks go",
      value: "MIB",
      min: 16,
      max: 16 * 1024 * 1024,
      default: 4096,
    },
    ...POOL_FLAGS,
    grace: {
      type: "duration",
      help: "how long running tasks may go on when the server stops",
      value: "TIME",
      default: 10_000,
    },
    logFormat: {
      type: "string",
      help: "how it talks on stderr",
      value: "FORMAT",
      choices: LOG_FORMATS,
      default: "text",
    },
    logLevel: {
      type: "string",
      help: "what it tells: everything, or only warnings and errors, or errors",
      value: "LEVEL",
      choices: LOG_LEVELS,
      default: "info",
    },
    tokenFile: {
      type: "string",
      help: "file with the tokens that clients must know, one a line; or set SD_TOKEN",
      value: "FILE",
    },
    tlsCert: {
      type: "string",
      help: "certificate in PEM: the port speaks TLS",
      value: "FILE",
    },
    tlsKey: { type: "string", help: "its key in PEM", value: "FILE" },
    insecure: {
      type: "boolean",
      help: "listen on an address that other machines can reach, without protection",
    },
    maxConnections: {
      type: "integer",
      help: "connections open at a time",
      value: "N",
      min: 1,
      max: 1_000_000,
      default: DEFAULT_LIMITS.maxConnections,
    },
    maxInFlight: {
      type: "integer",
      help: "tasks of one connection that are not final",
      value: "N",
      min: 1,
      max: 10_000_000,
      default: DEFAULT_LIMITS.maxInFlight,
    },
    maxQueued: {
      type: "integer",
      help: "tasks queued or delayed",
      value: "N",
      min: 1,
      max: 1_000_000_000,
      default: DEFAULT_LIMITS.maxQueued,
    },
    maxQueuedMib: {
      type: "integer",
      help: "what clients sent of all tasks that are not final, in MiB",
      value: "MIB",
      min: 1,
      max: 1_000_000,
      default: DEFAULT_LIMITS.maxQueuedBytes / MIB,
    },
    maxUnread: {
      type: "integer",
      help: "replies that one client leaves unread before it is cut off, in MiB",
      value: "MIB",
      min: 1,
      max: 16_384,
      default: DEFAULT_LIMITS.maxUnreadBytes / MIB,
    },
  },
  examples: [
    ["sd serve --workers 4", "four workers, port 5000"],
    ["sd serve tasks.ts --watch", "the functions of a file as ops, loaded again when it changes"],
    ["sd serve tasks.ts --allow-net=api.example.com", "they may reach that host, and nothing else"],
    ["sd serve --port 0 --workers 1", "any free port; the first line on stderr names it"],
    ["sd serve --workers 0", "no workers here: they come by sd work"],
  ],
  async run({ flags, args }) {
    if (flags.logFormat === "json") speak("en");
    const messages = inLanguage(MESSAGES);
    const log = openLog({ format: flags.logFormat, level: flags.logLevel });
    const tls = readTlsFiles({ cert: flags.tlsCert, key: flags.tlsKey });
    const tokens = readTokens({ file: flags.tokenFile, variable: Deno.env.get("SD_TOKEN") });
    checkAddress({ hostname: flags.host, tokens, tls }, flags.insecure);
    const secret = Deno.env.get("SD_POOL_SECRET") || newPoolSecret();
    const workers = flags.workers ?? navigator.hardwareConcurrency;
    const limits: ServerLimits = {
      ...DEFAULT_LIMITS,
      maxConnections: flags.maxConnections,
      maxInFlight: flags.maxInFlight,
      maxQueued: flags.maxQueued,
      maxQueuedBytes: flags.maxQueuedMib * MIB,
      maxUnreadBytes: flags.maxUnread * MIB,
    };
    const server = listen({
      config: {
        hostname: flags.host,
        port: flags.port,
        workers,
        work: poolWork(args, flags),
        watch: flags.watch ? args : undefined,
        tokens,
        tls,
      },
      engine: await openEngine(flags.engine, {
        ...limits,
        dataDir: flags.data,
        durability: flags.durability,
        maxKept: flags.maxKept,
        maxFileBytes: flags.maxFileMib * MIB,
        report: (message) => log.warn("engine", message),
      }),
      secret,
      limits,
      clock: systemClock,
      log,
      version: VERSION,
    });
    const forgetSecret = keepPoolSecret({ port: server.address.port, secret, log });
    const stopSignal = untilStopSignal(forgetSecret);
    const started = server.workersStarted.then(() => {
      log.info("server", messages.workersStarted(workers));
      log.info("dispatcher", messages.dispatcherStarted);
      return stopSignal;
    });
    let signal: Deno.Signal;
    try {
      signal = await Promise.race([stopSignal, started]);
    } catch (error) {
      // The task files do not load.
      await server.stop(0);
      forgetSecret();
      throw error;
    }
    log.info("server", messages.stopping(signal, flags.grace / 1000));
    await server.stop(flags.grace);
    forgetSecret();
    log.info("server", messages.stopped);
    return EXIT.ok;
  },
});

/** Starts the server; an address that cannot be had is the user's to mend, not a bug. */
function listen(options: ServerOptions): Server {
  const { hostname, port } = options.config;
  try {
    return startServer(options);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new ClientError("usage", `cannot listen on ${hostname}:${port}: it is in use`, {
        hint: "choose another with --port, or stop the program that has it",
        cause: error,
      });
    }
    throw new ClientError("usage", `cannot listen on ${hostname}:${port}: ${String(error)}`, {
      cause: error,
    });
  }
}
