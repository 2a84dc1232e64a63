/** `sd serve`: the server that the flags ask for, and its life until a signal ends it. */

import { dirname, resolve } from "node:path";
import { ClientError } from "../net/client_error.ts";
import { IpRanges } from "../net/ip_address.ts";
import { defineCommand } from "../cli/command.ts";
import { EXIT, exitCodeOf } from "../cli/exit.ts";
import { inLanguage, speak } from "../cli/messages.ts";
import {
  idlePoolFlags,
  mayRead,
  poolWork,
  readPoolSecret,
  SECRET_VARIABLE,
  TASK_FILE_ARGS,
} from "../cli/pool/pool_flags.ts";
import { reportOf } from "../cli/report.ts";
import { StopSignals } from "../cli/stop_signals.ts";
import { machineName, stateDir, stateDirIfAny } from "../cli/state_dir.ts";
import { talkBesideWork } from "../cli/talk.ts";
import { VERSION } from "../cli/version.ts";
import type { TaskPermissions } from "../protocol/pool_start.ts";
import { systemClock } from "./clock.ts";
import type { IntakeUrl } from "./bridge/intake_url.ts";
import { checkAddress, readTlsFiles, readTokens, type ServeConfig } from "./config.ts";
import type { EndedSink, Engine } from "./engine/engine.ts";
import {
  hasPassword,
  isSharedEngine,
  openEngine,
  openLeadEngine,
  openSharedStore,
  shownEngine,
} from "./engine/open.ts";
import { sqlitePath } from "./engine/sqlite/location.ts";
import { surviveStrayRejections, untilStopSignal } from "./lifecycle.ts";
import { gapLine, type Log, openLog } from "./log.ts";
import { MESSAGES } from "./messages.ts";
import { keepPoolSecret, newPoolSecret } from "./pool_secret.ts";
import { limitsOf, SERVE_FLAGS, type ServeFlags } from "./serve_flags.ts";
import { type Server, startServer } from "./server.ts";

const PASSWORD_VARIABLE = "SD_INTAKE_PASSWORD";
const PASSWORD_FILE_VARIABLE = "SD_INTAKE_PASSWORD_FILE";
/** Two checks of a load balancer that checks each second. */
const DRAIN_DELAY_MS = 2000;

export const serve = defineCommand({
  name: "serve",
  summary: "run the server and its workers",
  positional: TASK_FILE_ARGS,
  maxArgs: Infinity,
  flags: SERVE_FLAGS,
  examples: [
    ["sd serve --workers 4", "four workers, port 5000"],
    ["sd serve tasks.ts --watch", "the functions of a file as ops, loaded again when it changes"],
    [
      "sd serve tasks.ts --allow-net=api.example.com",
      "its tasks may reach that host, and no other",
    ],
    ["sd serve --port 0 --workers 1", "any free port; the first line on stderr names it"],
    ["sd serve --workers 0", "no workers here: they come by sd work"],
  ],
  async run({ flags, args }) {
    const signals = new StopSignals();
    talkBesideWork((lines) => gapLine(flags.logFormat, lines));
    const isJson = flags.logFormat === "json";
    if (isJson) speak("en");
    const log = openLog({ format: flags.logFormat, level: flags.logLevel });
    return await run(flags, { args, log, signals });
  },
  /** All lines of a log for programs are JSON, and so is the one that says what ended the server, or its flags. */
  fail(error, argv) {
    if (!/(^| )--log-format[= ]json( |$)/.test(argv.join(" "))) return undefined;
    const log = openLog({ format: "json", level: "error" });
    const report = reportOf(error);
    if (report) log.error("server", `${report.message}${report.hint ? `; ${report.hint}` : ""}`);
    else log.bug("server", error);
    return report ? exitCodeOf(report.code) : EXIT.internal;
  },
});

async function run(
  flags: ServeFlags,
  { args, log, signals }: { args: readonly string[]; log: Log; signals: StopSignals },
): Promise<number> {
  const messages = inLanguage(MESSAGES);
  const config = configOf(flags, args);
  warnOfOwnFiles(config.work.permissions, flags, log);
  for (const idle of idleFlags(args, flags)) log.warn("server", idle);
  const { server, secret } = await startFor(flags, config, log);
  using _strays = surviveStrayRejections((reason) => log.bug("server", reason));
  const forgetSecret = keepPoolSecret({ port: server.address.port, secret, log });
  try {
    const signal = await untilStopped(server, {
      config,
      log,
      signals,
      onSecondSignal: forgetSecret,
    });
    log.info("server", messages.stopping(signal, flags.grace / 1000));
    await server.stop(flags.grace, drainDelayOf(flags));
  } finally {
    // Where its task files do not load it was never asked to.
    await server.stop(0);
    forgetSecret();
  }
  log.info("server", messages.stopped);
  return EXIT.ok;
}

interface Started {
  readonly server: Server;
  /** The secret of its worker processes. */
  readonly secret: string;
}

/** Starts the server: alone, or as a server of the cluster that shares its engine. */
async function startFor(flags: ServeFlags, config: ServeConfig, log: Log): Promise<Started> {
  const given = Deno.env.get(SECRET_VARIABLE);
  const own = given ? readPoolSecret(given, SECRET_VARIABLE) : undefined;
  const limits = limitsOf(flags);
  const intakes = await intakesOf(flags, log);
  const options = { config, intakes, limits, clock: systemClock, log, version: VERSION };
  if (!isSharedEngine(flags.engine)) {
    const secret = own ?? newPoolSecret();
    const openEngine = (ended: EndedSink) => engineOf(flags, log, ended);
    return { server: await startServer({ ...options, openEngine, secret }), secret };
  }
  const { startClusterServer } = await import("./cluster_server.ts");
  const report = (message: string) => log.warn("engine", message);
  if (hasPassword(flags.engine) && flags.engine !== Deno.env.get("SD_ENGINE")) {
    report(
      "the password of the engine is on the command line, where every user of this machine sees it: " +
        "set SD_ENGINE to the URL, or SD_ENGINE_PASSWORD, or use --engine-password-file",
    );
  }
  const store = await openSharedStore(flags.engine, {
    maxKept: flags.maxKept,
    passwordFile: flags.enginePasswordFile,
    report,
  });
  // A worker process can then come to any server of the cluster.
  const secret = own ?? store.secret;
  const server = await startClusterServer({
    ...options,
    secret,
    store,
    openEngine: (lead, ended) =>
      openLeadEngine(store, lead, { maxQueued: limits.maxQueued, ended, report }),
    advertise: flags.advertise,
    name: flags.name,
    machine: machineName() ?? "unknown",
  });
  return { server, secret };
}

/** Resolves with the signal to stop; rejects where the task files do not load. */
function untilStopped(
  server: Server,
  { config, log, signals, onSecondSignal }: {
    config: ServeConfig;
    log: Log;
    signals: StopSignals;
    onSecondSignal: () => void;
  },
): Promise<Deno.Signal> {
  const signal = untilStopSignal(signals, onSecondSignal);
  const started = server.workersStarted.then(() => {
    const messages = inLanguage(MESSAGES);
    log.info("server", messages.workersStarted(config.workers));
    log.info("dispatcher", messages.dispatcherStarted);
    return signal;
  });
  return Promise.race([signal, started]);
}

function configOf(flags: ServeFlags, args: readonly string[]): ServeConfig {
  const tls = readTlsFiles({ cert: flags.tlsCert, key: flags.tlsKey });
  const tokens = readTokens({ file: flags.tokenFile, variable: Deno.env.get("SD_TOKEN") });
  checkAddress({ hostname: flags.host, tokens, tls }, flags.insecure);
  return {
    hostname: flags.host,
    port: flags.port,
    workers: flags.workers ?? navigator.hardwareConcurrency,
    work: poolWork(args, flags),
    watch: flags.watch ? args : undefined,
    tokens,
    tls,
    proxies: flags.proxyFrom === undefined
      ? undefined
      : IpRanges.parse(flags.proxyFrom, "--proxy-from"),
  };
}

/** How long a stopping server serves on, in ms. A load balancer notices it by its next two checks. */
function drainDelayOf({ drainDelay, engine }: ServeFlags): number {
  // Alone, there is no server to send clients to.
  return drainDelay ?? (isSharedEngine(engine) ? DRAIN_DELAY_MS : 0);
}

/** The message servers that `--intake` names. */
async function intakesOf(flags: ServeFlags, log: Log): Promise<IntakeUrl[]> {
  const { intake = [] } = flags;
  if (intake.length === 0) return [];
  const { readIntakes } = await import("./bridge/intake_url.ts");
  if (intake.some((url) => /^\w+:\/\/[^/@]*:[^/@]+@/.test(url))) {
    log.warn(
      "intake",
      `other users of this machine can see the password in --intake; set it by ${PASSWORD_VARIABLE}`,
    );
  }
  return readIntakes(intake, {
    variable: Deno.env.get(PASSWORD_VARIABLE),
    file: Deno.env.get(PASSWORD_FILE_VARIABLE),
  });
}

function engineOf(flags: ServeFlags, log: Log, ended: EndedSink): Promise<Engine> {
  checkFolder(flags.data, "--data");
  if (flags.engine.startsWith("sqlite:~")) checkFolder(flags.engine.slice(7), "--engine");
  return openEngine(flags.engine, {
    ...limitsOf(flags),
    ended,
    dataDir: flags.data,
    durability: flags.durability,
    maxKept: flags.maxKept,
    maxFileBytes: flags.maxFileMib,
    report: (message) => log.warn("engine", message),
  });
}

function idleFlags(args: readonly string[], flags: ServeFlags): string[] {
  // A variable may be set for all that runs here; a flag is typed for this one server.
  const isTyped = flags.data !== undefined && flags.data !== Deno.env.get("SD_DATA");
  const isUsed = flags.engine === "sqlite:";
  const isAlone = !isSharedEngine(flags.engine);
  return [
    ...idlePoolFlags(args, flags),
    ...(isTyped && !isUsed
      ? [`--data is for --engine sqlite: alone, and this is ${shownEngine(flags.engine)}`]
      : []),
    ...(["advertise", "name"] as const).filter((flag) => isAlone && flags[flag] !== undefined)
      .map((flag) =>
        `--${flag} is for servers that share an engine, and ${
          shownEngine(flags.engine)
        } is not shared`
      ),
  ];
}

/** A folder called `~` in the working directory is never meant. */
function checkFolder(path: string | undefined, flag: string): void {
  if (!path?.startsWith("~")) return;
  throw new ClientError(
    "usage",
    `${flag} is ${JSON.stringify(path)}: the shell has not put a home there`,
    {
      hint: `write the path out, as in: --data "$HOME/sd"`,
    },
  );
}

/** Task code that reads the server's own files knows every task, and the secret of the workers. */
function warnOfOwnFiles(permissions: TaskPermissions, flags: ServeFlags, log: Log): void {
  const folders = [stateDirIfAny()].filter((folder) => folder !== undefined);
  if (flags.engine.startsWith("sqlite:")) {
    folders.push(dirname(resolve(sqlitePath(flags.engine, flags.data ?? stateDir()))));
  }
  if (!folders.some((folder) => mayRead(permissions, folder))) return;
  log.warn(
    "server",
    `--allow-read lets task code read the server's own files in ${
      folders.at(-1)
    }; name folders without them`,
  );
}
