/** The checks of `sd doctor` on the server: the choice of it, the connection, its settings. */

import { hintFor } from "../../../cli/exit.ts";
import { reportOf } from "../../../cli/report.ts";
import {
  chooseServer,
  type ServerChoice,
  type ServerFlagValues,
} from "../../../cli/server_flags.ts";
import { formatTarget, isLoopback } from "../../../net/target.ts";
import { VERSION } from "../../../cli/version.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { PROTOCOL_VERSION, type ServerStats } from "../../../protocol/task.ts";
import { type Client, connect } from "../../client.ts";
import { type Check, ok, problem, warning } from "./doctor_machine.ts";
import { withCommas } from "../base/table.ts";

/** Greatest difference of two clocks without a warning, in ms. */
const MAX_SKEW_MS = 2_000;
/** Permission bits by which other users can read a file. */
const OTHERS_MAY_READ = 0o044;

interface ServerFindings {
  readonly checks: Check[];
  /** Whether the server is, or would be, on this machine. */
  readonly isHere: boolean;
}

/** Checks the server that `flags` choose. */
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
    isHere: isLoopback(target.hostname),
  };
}

async function checkConnection(choice: ServerChoice): Promise<Check[]> {
  const startedAt = performance.now();
  try {
    await using client = await connect(choice.target, { reconnectMs: 0 });
    const { stats, skewMs } = await askStats(client);
    const took = formatDuration(Math.max(1, Math.round(performance.now() - startedAt)));
    return [
      ok("reach", `it replied within ${took}`),
      checkTls(choice),
      checkToken(choice),
      checkRelease(stats),
      checkClock(skewMs),
      checkEngine(stats),
      checkWorkers(stats),
      ...checkCluster(stats),
      ...(stats.notices ?? []).map((notice) => warning("server", notice)),
    ];
  } catch (error) {
    const hasReplied = reportOf(error)?.code === "unauthorized";
    const reach = hasReplied ? [ok("reach", "it replied"), checkTls(choice)] : [];
    return [...reach, sickness(hasReplied ? "token" : "reach", error)];
  }
}

/** The problem for an expected error; any other error is thrown again. */
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
  // The reply left between these two times.
  const skewMs = now < before ? now - before : Math.max(0, now - Date.now());
  return { stats, skewMs };
}

function checkTls({ target, from }: ServerChoice): Check {
  if (target.tls) return ok("tls", `used, by ${from.tls}`);
  if (isLoopback(target.hostname)) return ok("tls", "not used; no data leaves this machine");
  return warning("tls", {
    message: "not used: tasks, results and the token can be read on the network",
    cure: "start the server with --tls-cert and --tls-key, and connect with --tls",
  });
}

function checkToken({ target, from, tokenFile }: ServerChoice): Check {
  if (target.token === undefined) return ok("token", "none given, and none required");
  if (tokenFile === undefined || !isOpenToOthers(tokenFile)) {
    return ok("token", `accepted, from ${from.token}`);
  }
  return warning("token", {
    message: `accepted, from ${from.token}; other users of this machine can read ${tokenFile}`,
    cure: `chmod 600 ${tokenFile}`,
  });
}

/** Whether other users can read the file; unknown, and false, on Windows. */
function isOpenToOthers(path: string): boolean {
  const { mode } = Deno.statSync(path);
  return Deno.build.os !== "windows" && ((mode ?? 0) & OTHERS_MAY_READ) !== 0;
}

function checkRelease({ version, protocol, pid, uptime_ms }: ServerStats): Check {
  const text = `the server is sd ${version}, pid ${pid}, up for ${formatDuration(uptime_ms)}`;
  if (protocol !== PROTOCOL_VERSION) {
    return problem("release", {
      code: "unknown_cmd",
      message:
        `${text}; it uses version ${protocol} of the protocol, this sd version ${PROTOCOL_VERSION}`,
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
      message: "the server does not report its time",
      cure: "run the same release on both sides",
    });
  }
  if (Math.abs(skewMs) <= MAX_SKEW_MS) {
    return ok("clock", "the clock of the server agrees with this one");
  }
  const which = skewMs > 0 ? "ahead of" : "behind";
  return warning("clock", {
    message:
      `the clock of the server is ${
        formatDuration(Math.abs(skewMs))
      } ${which} this one; --at and --cron ` +
      "use the clock of the server",
    cure: "set both clocks, for example by NTP",
  });
}

function checkEngine({ engine, tasks }: ServerStats): Check {
  const held = Object.values(tasks).reduce((sum, count) => sum + count, 0);
  const text = `${engine}, with ${withCommas(held)} ${held === 1 ? "task" : "tasks"}`;
  if (engine !== "memory") return ok("engine", text);
  return warning("engine", {
    message: `${text}: they are lost when the server stops`,
    cure: "start sd serve without --engine: the default keeps tasks on disk",
  });
}

function checkWorkers({ workers, paused }: ServerStats): Check {
  const text = `${workers.workers} in ${workers.pools} ${workers.pools === 1 ? "pool" : "pools"}`;
  if (workers.workers === 0) {
    return warning("workers", {
      message: "none: tasks are accepted and wait",
      cure: "start some with: sd work",
    });
  }
  if (paused.length === 0) return ok("workers", text);
  const [first] = paused;
  return warning("workers", {
    message: `${text}; ${first === "*" ? "all ops are" : `${paused.join(", ")} is`} paused`,
    cure: `resume with: sd resume ${first === "*" ? "--all" : paused.join(" ")}`,
  });
}

/** Checks the servers of a cluster; nothing for a server alone. */
export function checkCluster({ servers }: Pick<ServerStats, "servers">): Check[] {
  if (!servers) return [];
  const leader = servers.find(({ role }) => role === "leads");
  const text = `${servers.length} ${servers.length === 1 ? "server" : "servers"}`;
  if (!leader) {
    return [warning("cluster", {
      message: `${text}, and none leads at this moment`,
      cure: "look again in 10 s; then look at the logs of the servers and at the store",
    })];
  }
  const led = `${text}; ${leader.name} leads`;
  const able = servers.filter(({ draining }) => !draining);
  if (able.length < 2) {
    return [warning("cluster", {
      message: `${led}, and no other server can take over`,
      cure: "start another: sd serve with the same --engine, on another machine",
    })];
  }
  if (new Set(servers.map(({ version }) => version)).size > 1) {
    const releases = servers.map(({ name, version }) => `${name} ${version}`).join(", ");
    return [warning("cluster", {
      message: `${led}; the releases differ: ${releases}`,
      cure: "finish the update: run the same release on all servers",
    })];
  }
  if (new Set(servers.map(({ machine }) => machine)).size === 1) {
    return [warning("cluster", {
      message: `${led}, and all are on ${leader.machine}: they fail with it`,
      cure: "run servers on other machines as well",
    })];
  }
  return [ok("cluster", led)];
}
