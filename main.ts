/**
 * The executable: finds the subcommand, loads it and no other, and exits with what it returns. What
 * `sd submit` does not need is never loaded, so that it starts in no time.
 */

import { type CommandEntry, helpStyle } from "./cli/command.ts";
import { EXIT } from "./cli/exit.ts";
import { overview } from "./cli/help.ts";
import { nearest } from "./cli/nearest.ts";
import { reportOf, tellBug, tellError } from "./cli/report.ts";
import { outliveTerminal } from "./cli/stop_signals.ts";
import { flushTalk, print } from "./cli/talk.ts";
import { VERSION } from "./cli/version.ts";

/** All subcommands, in the order of the overview. */
export const GROUPS: readonly (readonly [title: string, Record<string, CommandEntry>])[] = [
  ["Run", {
    serve: {
      summary: "run the server, with workers of its own",
      load: async () => (await import("./server/serve.ts")).serve,
    },
    work: {
      summary: "run workers for a server, on this machine or another",
      load: async () => (await import("./workers/work.ts")).work,
    },
    init: {
      summary: "write a task file to start from, and its types",
      load: async () => (await import("./client/commands/init.ts")).init,
    },
  }],
  ["Tasks", {
    submit: {
      summary: "send a task and print its result",
      load: async () => (await import("./client/commands/submit.ts")).submit,
    },
    wait: {
      summary: "wait until tasks are final and print their results",
      load: async () => (await import("./client/commands/wait.ts")).wait,
    },
    result: {
      summary: "print the result of a task that is final",
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
      summary: "say why a task is not running",
      load: async () => (await import("./client/commands/why.ts")).why,
    },
    ls: {
      summary: "list tasks",
      load: async () => (await import("./client/commands/ls.ts")).ls,
    },
    cron: {
      summary: "list recurring tasks, pause, resume and remove them",
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
      summary: "copy everything that the server keeps to a file, while it runs",
      load: async () => (await import("./client/commands/backup.ts")).backupCommand,
    },
    export: {
      summary: "print all tasks as NDJSON, for another server or engine",
      load: async () => (await import("./client/commands/export.ts")).exportCommand,
    },
    import: {
      summary: "take in tasks that sd export printed",
      load: async () => (await import("./client/commands/import.ts")).importCommand,
    },
  }],
  ["Set up", {
    context: {
      summary: "name servers, and say which of them commands speak to",
      load: async () => (await import("./client/commands/context.ts")).context,
    },
    doctor: {
      summary: "check what sd needs here, and say how to mend what is wrong",
      load: async () => (await import("./client/commands/doctor.ts")).doctor,
    },
    completions: {
      summary: "print the script by which a shell completes sd",
      load: async () => (await import("./client/commands/completions.ts")).completions,
    },
  }],
  ["Look", {
    status: {
      summary: "show the server, its workers and how many tasks are in each status",
      load: async () => (await import("./client/commands/status.ts")).status,
    },
    top: {
      summary: "watch the server work: rates, queues, workers, tasks; act on them",
      load: async () => (await import("./client/commands/top.ts")).top,
    },
    ops: {
      summary: "list the ops that can be submitted, and how many workers have each",
      load: async () => (await import("./client/commands/ops.ts")).ops,
    },
    logs: {
      summary: "print what a task has said, and what it says",
      load: async () => (await import("./client/commands/logs.ts")).logs,
    },
    watch: {
      summary: "tell what happens to tasks, as it happens",
      load: async () => (await import("./client/commands/watch.ts")).watchCommand,
    },
    bench: {
      summary: "measure how many tasks a second the server gets through",
      load: async () => (await import("./client/commands/bench.ts")).bench,
    },
  }],
];

const ENTRIES: ReadonlyMap<string, CommandEntry> = new Map(
  GROUPS.flatMap(([, entries]) => Object.entries(entries)),
);

/** These decide themselves what a hangup means for them. */
const RUNNING_ON: readonly string[] = ["serve", "work"];

/** What shells call for completions; no person types it. */
const HIDDEN: ReadonlyMap<string, CommandEntry> = new Map([["complete", {
  summary: "",
  load: async () => (await import("./client/commands/complete.ts")).completeFrom(ENTRIES),
}]]);

/** Runs the command line `argv` and returns the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = argv;
  const json = argv.includes("--json");
  try {
    if (name === "--version" || name === "-V") return tellVersion();
    if (name === "--help" || name === "-h") return tellOverview();
    if (name === "help") return await main(rest.length > 0 ? [...rest, "--help"] : ["--help"]);
    const entry = ENTRIES.get(name) ?? HIDDEN.get(name);
    if (!entry) return tellUnknown(name, json);
    const command = await entry.load();
    return await command.main(rest);
  } catch (error) {
    const report = reportOf(error);
    return report ? tellError(report, { json }) : tellBug(error, { json });
  }
}

function tellVersion(): number {
  print(`sd ${VERSION} (deno ${Deno.version.deno}, v8 ${Deno.version.v8})`);
  return EXIT.ok;
}

function tellOverview(): number {
  const groups = GROUPS.map(([title, entries]) => {
    const rows = Object.entries(entries).map(([name, { summary }]) => [name, summary] as const);
    return [title, rows] as const;
  });
  print(overview(groups, helpStyle()));
  return EXIT.ok;
}

function tellUnknown(name: string, json: boolean): number {
  const meant = nearest(name, [...ENTRIES.keys(), "help"]);
  const what = name.startsWith("-") ? "flag" : "command";
  return tellError({
    code: "usage",
    message: `unknown ${what} ${name}`,
    hint: meant ? `did you mean sd ${meant}?` : "see all commands with: sd --help",
  }, { json });
}

/** The executable can do what task code may be allowed; only the process that runs task code needs to. */
async function giveUpTaskPermissions(argv: readonly string[]): Promise<void> {
  if (!Deno.build.standalone || argv.includes("--pool")) return;
  await Deno.permissions.revoke({ name: "ffi" });
  await Deno.permissions.revoke({ name: "sys" });
}

if (import.meta.main) {
  await giveUpTaskPermissions(Deno.args);
  if (!RUNNING_ON.includes(Deno.args[0] ?? "")) outliveTerminal();
  const code = await main(Deno.args);
  await flushTalk();
  Deno.exit(code);
}
