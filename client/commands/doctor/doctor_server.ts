/** The checks of `sd doctor` that concern the server: which it is, whether it answers, how it is set up. */

import { hintFor } from "../../../cli/exit.ts";
import { reportOf } from "../../../cli/report.ts";
import {
  chooseServer,
  type ServerChoice,
  type ServerFlagValues,
} from "../../../cli/server_flags.ts";
import { formatTarget } from "../../../net/target.ts";
import { VERSION } from "../../../cli/version.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { PROTOCOL_VERSION, type ServerStats } from "../../../protocol/task.ts";
import { type Client, connect } from "../../client.ts";
import { type Check, ok, problem, warning } from "./doctor_machine.ts";
import { withCommas } from "../base/table.ts";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;
/** Clocks that are closer than this are as good as the same to anyone. */
const MAX_SKEW_MS = 2_000;
/** Permissions of a file that let others of the machine read it. */
const OTHERS_MAY_READ = 0o044;

export interface ServerFindings {
  readonly checks: Check[];
  /** Whether the server is, or would be, on this machine. */
  readonly isHere: boolean;
}

/** Everything about the server that `flags` come to. */
export async function checkServer(flags: ServerFlagValues): Promise<ServerFindings> {
  let choice: ServerChoice;
  try {
    choice = chooseServer({ flags });
  } catch (error) {
    return { checks: [sickness("server", error)], isHere: true };
  }
  const { target, from } = choice;
  const server = ok("server", `${formatTarget(target)}, by ${from.server}`);
  return {
    checks: [server, ...await checkConnection(choice)],
    isHere: LOOPBACK.test(target.hostname),
  };
}

async function checkConnection(choice: ServerChoice): Promise<Check[]> {
  const startedAt = performance.now();
  try {
    await using client = await connect(choice.target, { reconnectMs: 0 });
    const { stats, skewMs } = await askStats(client);
    const took = formatDuration(Math.max(1, Math.round(performance.now() - startedAt)));
    return [
      ok("reach", `it answers, within ${took}`),
      checkTls(choice),
      checkToken(choice),
      checkRelease(stats),
      checkClock(skewMs),
      checkEngine(stats),
      checkWorkers(stats),
      ...(stats.notices ?? []).map((notice) => warning("server", notice)),
    ];
  } catch (error) {
    const isAnswer = reportOf(error)?.code === "unauthorized";
    const reach = isAnswer ? [ok("reach", "it answers"), checkTls(choice)] : [];
    return [...reach, sickness(isAnswer ? "token" : "reach", error)];
  }
}

/** An expected error as a problem; any other is thrown on. */
function sickness(name: string, error: unknown): Check {
  const report = reportOf(error);
  if (!report) throw error;
  const { code, message, hint } = report;
  return problem(name, { code, message, cure: hint ?? hintFor(code) ?? "see: sd doctor --help" });
}

async function askStats(client: Client): Promise<{ stats: ServerStats; skewMs: number }> {
  const before = Date.now();
  const stats = await client.stats();
  const now = Date.parse(stats.now);
  // The answer left at some time between the two.
  const skewMs = now < before ? now - before : Math.max(0, now - Date.now());
  return { stats, skewMs };
}

function checkTls({ target, from }: ServerChoice): Check {
  if (target.tls) return ok("tls", `spoken, from ${from.tls}`);
  if (LOOPBACK.test(target.hostname)) return ok("tls", "not spoken; nothing leaves this machine");
  return warning("tls", {
    message: "not spoken: whoever is on the way reads tasks, results and the token",
    cure: "start the server with --tls-cert and --tls-key, and speak to it with --tls",
  });
}

function checkToken({ target, from, tokenFile }: ServerChoice): Check {
  if (target.token === undefined) return ok("token", "none given, and none needed");
  if (tokenFile === undefined || !isOpenToOthers(tokenFile)) {
    return ok("token", `accepted, from ${from.token}`);
  }
  return warning("token", {
    message: `accepted, from ${from.token}; others on this machine may read ${tokenFile}`,
    cure: `chmod 600 ${tokenFile}`,
  });
}

/** Of what Windows tells of a file, nothing says so. */
function isOpenToOthers(path: string): boolean {
  const { mode } = Deno.statSync(path);
  return Deno.build.os !== "windows" && ((mode ?? 0) & OTHERS_MAY_READ) !== 0;
}

function checkRelease({ version, protocol, pid, uptime_ms }: ServerStats): Check {
  const text = `the server is sd ${version}, pid ${pid}, up for ${formatDuration(uptime_ms)}`;
  if (protocol !== PROTOCOL_VERSION) {
    return problem("release", {
      code: "unknown_cmd",
      message: `${text}; it speaks version ${protocol} of the wire, this is ${PROTOCOL_VERSION}`,
      cure: "run the same release on both sides",
    });
  }
  if (version === VERSION) return ok("release", text);
  return warning("release", {
    message: `${text}; this is sd ${VERSION}`,
    cure: "run the same release on both sides",
  });
}

function checkClock(skewMs: number): Check {
  if (Number.isNaN(skewMs)) {
    return warning("clock", {
      message: "the server does not tell its time",
      cure: "run the same release on both sides",
    });
  }
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return ok("clock", "the server's is right by this one");
  const which = skewMs > 0 ? "ahead of" : "behind";
  return warning("clock", {
    message:
      `the server's is ${formatDuration(Math.abs(skewMs))} ${which} this one; --at and --cron ` +
      "go by the server's",
    cure: "set both clocks, best by NTP",
  });
}

function checkEngine({ engine, tasks }: ServerStats): Check {
  const held = Object.values(tasks).reduce((sum, count) => sum + count, 0);
  const text = `${engine}, with ${withCommas(held)} ${held === 1 ? "task" : "tasks"}`;
  if (engine !== "memory") return ok("engine", text);
  return warning("engine", {
    message: `${text}: they are gone when the server stops`,
    cure: "leave --engine away: the default keeps them on disk",
  });
}

function checkWorkers({ workers, paused }: ServerStats): Check {
  const text = `${workers.workers} in ${workers.pools} ${workers.pools === 1 ? "pool" : "pools"}`;
  if (workers.workers === 0) {
    return warning("workers", {
      message: "none: tasks are taken and wait",
      cure: "start some with: sd work",
    });
  }
  if (paused.length === 0) return ok("workers", text);
  const [first] = paused;
  return warning("workers", {
    message: `${text}; ${first === "*" ? "all ops are" : `${paused.join(", ")} is`} paused`,
    cure: `go on with: sd resume ${first === "*" ? "--all" : paused.join(" ")}`,
  });
}
