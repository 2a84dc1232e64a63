/**
 * The executable: finds the subcommand, loads only that one, runs it, and exits with its exit code. `sd submit`
 * never loads the server, so that it starts quickly.
 */

import { type CommandEntry, helpStyle } from "./cli/command.ts";
import { EXIT } from "./cli/exit.ts";
import { overview } from "./cli/help.ts";
import { nearest } from "./cli/nearest.ts";
import { reportBug, reportError, reportOf } from "./cli/report.ts";
import { outliveTerminal } from "./cli/stop_signals.ts";
import { flushTalk, print } from "./cli/talk.ts";
import { VERSION } from "./cli/version.ts";

/** All subcommands, in the order of the overview. */
export const GROUPS: readonly (readonly [title: string, Record<string, CommandEntry>])[] = [
  ["Run", {
    serve: {
      summary: "run the server and its workers",
      load: async () => (await import("./server/serve.ts")).serve,
    },
    work: {
      summary: "run more workers for a server, on this machine or another",
      load: async () => (await import("./workers/work.ts")).work,
    },
    init: {
      summary: "write a first task file and its types",
      load: async () => (await import("./client/commands/init.ts")).init,
    },
  }],
  ["Tasks", {
    submit: {
      summary: "send a task and print its result",
      load: async () => (await import("./client/commands/submit.ts")).submit,
    },
    wait: {
      summary: "wait for tasks and print their results",
      load: async () => (await import("./client/commands/wait.ts")).wait,
    },
    result: {
      summary: "print the result of a finished task",
      load: async () => (await import("./client/commands/result.ts")).result,
    },
    cancel: {
      summary: "cancel queued or running tasks",
      load: async () => (await import("./client/commands/cancel_retry.ts")).cancel,
    },
    retry: {
      summary: "queue failed, cancelled or expired tasks again",
      load: async () => (await import("./client/commands/cancel_retry.ts")).retry,
    },
    why: {
      summary: "explain why a task is not running",
      load: async () => (await import("./client/commands/why.ts")).why,
    },
    ls: {
      summary: "list tasks",
      load: async () => (await import("./client/commands/ls.ts")).ls,
    },
    cron: {
      summary: "list, pause, resume and remove recurring tasks",
      load: async () => (await import("./client/commands/cron.ts")).cron,
    },
  }],
  ["Operate", {
    pause: {
      summary: "stop handing out tasks of some ops, or of all",
      load: async () => (await import("./client/commands/pause_resume.ts")).pause,
    },
    resume: {
      summary: "hand out tasks of paused ops again",
      load: async () => (await import("./client/commands/pause_resume.ts")).resume,
    },
    backup: {
      summary: "copy all data of the server to a file while it runs",
      load: async () => (await import("./client/commands/backup.ts")).backupCommand,
    },
    export: {
      summary: "print all tasks as NDJSON, for another server or engine",
      load: async () => (await import("./client/commands/export.ts")).exportCommand,
    },
    import: {
      summary: "read tasks that sd export printed",
      load: async () => (await import("./client/commands/import.ts")).importCommand,
    },
  }],
  ["Set up", {
    context: {
      summary: "name servers, and choose which one commands use",
      load: async () => (await import("./client/commands/context.ts")).context,
    },
    doctor: {
      summary: "check sd, the server and this machine, and print cures",
      load: async () => (await import("./client/commands/doctor.ts")).doctor,
    },
    completions: {
      summary: "print a completion script for a shell",
      load: async () => (await import("./client/commands/completions.ts")).completions,
    },
  }],
  ["Look", {
    status: {
      summary: "show the server, its workers and the number of tasks by status",
      load: async () => (await import("./client/commands/status.ts")).status,
    },
    top: {
      summary: "watch rates, queues, workers and tasks live, and act on them",
      load: async () => (await import("./client/commands/top.ts")).top,
    },
    ops: {
      summary: "list the ops, and how many workers have each",
      load: async () => (await import("./client/commands/ops.ts")).ops,
    },
    logs: {
      summary: "print the log of a task",
      load: async () => (await import("./client/commands/logs.ts")).logs,
    },
    watch: {
      summary: "print events of tasks as they happen",
      load: async () => (await import("./client/commands/watch.ts")).watchCommand,
    },
    bench: {
      summary: "measure the throughput and latency of the server",
      load: async () => (await import("./client/commands/bench.ts")).bench,
    },
  }],
];

const ENTRIES: ReadonlyMap<string, CommandEntry> = new Map(
  GROUPS.flatMap(([, entries]) => Object.entries(entries)),
);

/** Commands that handle a hangup themselves. */
const RUNNING_ON: readonly string[] = ["serve", "work"];

/** Commands that the overview omits. Completion scripts call them. */
const HIDDEN: ReadonlyMap<string, CommandEntry> = new Map([["complete", {
  summary: "",
  load: async () => (await import("./client/commands/complete.ts")).completeFrom(ENTRIES),
}]]);

/** Runs the command line `argv` and returns the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = argv;
  const json = argv.includes("--json");
  try {
    if (name === "--version" || name === "-V") return printVersion();
    if (name === "--help" || name === "-h") return printOverview();
    if (name === "help") return await main(rest.length > 0 ? [...rest, "--help"] : ["--help"]);
    const entry = ENTRIES.get(name) ?? HIDDEN.get(name);
    if (!entry) return refuseUnknown(name, json);
    const command = await entry.load();
    return await command.main(rest);
  } catch (error) {
    const report = reportOf(error);
    return report ? reportError(report, { json }) : reportBug(error, { json });
  }
}

function printVersion(): number {
  print(`sd ${VERSION} (deno ${Deno.version.deno}, v8 ${Deno.version.v8})`);
  return EXIT.ok;
}

function printOverview(): number {
  const groups = GROUPS.map(([title, entries]) => {
    const rows = Object.entries(entries).map(([name, { summary }]) => [name, summary] as const);
    return [title, rows] as const;
  });
  print(overview(groups, helpStyle()));
  return EXIT.ok;
}

function refuseUnknown(name: string, json: boolean): number {
  const meant = nearest(name, [...ENTRIES.keys(), "help"]);
  const what = name.startsWith("-") ? "flag" : "command";
  return reportError({
    code: "usage",
    message: `unknown ${what} ${name}`,
    hint: meant ? `did you mean sd ${meant}?` : "see all commands with: sd --help",
  }, { json });
}

/** Drops permissions that only task code can need, in every process that runs none. */
async function dropTaskPermissions(argv: readonly string[]): Promise<void> {
  if (!Deno.build.standalone || argv.includes("--pool")) return;
  await Deno.permissions.revoke({ name: "ffi" });
  await Deno.permissions.revoke({ name: "sys" });
}

if (import.meta.main) {
  await dropTaskPermissions(Deno.args);
  if (!RUNNING_ON.includes(Deno.args[0] ?? "")) outliveTerminal();
  const code = await main(Deno.args);
  await flushTalk();
  Deno.exit(code);
}
