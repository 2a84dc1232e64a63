/** `sd submit` with many lines: opens the journal, runs the lines, shows progress, reports the end. */

import { ClientError } from "../../../net/client_error.ts";
import type { ExitCode } from "../../../cli/exit.ts";
import { type ServerFlagValues, targetOf } from "../../../cli/server_flags.ts";
import { shellQuote } from "../../../cli/completion/shell_words.ts";
import { formatTarget } from "../../../net/target.ts";
import type { TaskOptions } from "../../../protocol/task.ts";
import type { Client } from "../../client.ts";
import { interrupted, outOfTime, withClient, within } from "../base/with_client.ts";
import { talk, withHint } from "../base/output.ts";
import { withCommas } from "../base/table.ts";
import { cannotRead, openLines } from "../input/task_lines.ts";
import type { SubmitJournal } from "./journal.ts";
import { describeReading, lineFormat, type Reading } from "./line_format.ts";
import { ManyRun } from "./many_run.ts";
import { openJournal } from "./open_journal.ts";
import { type Earlier, endedOf, failedOf, reportTally, summary } from "./tally.ts";

/** The reason for a stop after the first Ctrl-C. */
const DRAINED = new ClientError("interrupted", "interrupted");

interface LinesToSubmit {
  flags: ServerFlagValues & { json: boolean };
  /** The file of the tasks; `-` is stdin. */
  file: string;
  reading: Reading;
  options: TaskOptions;
  inFlight: number;
  ordered: boolean;
  strict: boolean;
  resume: boolean;
  force: boolean;
  /** Longest wait for all of them, in ms. */
  waitMs: number;
}

export async function submitLines(many: LinesToSubmit): Promise<ExitCode> {
  const size = await fileSize(many);
  // Opened before the journal: a file that cannot be read must leave no journal.
  const source = await openLines(many.file);
  const journal = size === undefined ? undefined : await openJournal({
    tasks: many.file,
    of: { ...size, server: formatTarget(targetOf(many.flags)), reading: readingOf(many) },
    resume: many.resume,
    force: many.force,
  });
  const earlier = journal?.past && {
    lines: journal.past.finished.count,
    failed: journal.past.failed,
  };
  if (earlier) talk(`resuming: ${withCommas(earlier.lines)} lines are done`);
  const run = new ManyRun({ ...many, format: lineFormat(many.reading), journal });
  const startedAt = performance.now();
  let isDone = false;
  try {
    using _progress = await showProgress({ run, earlier, bytes: size?.file.bytes });
    await runWith(run, { many, source, journal });
    isDone = true;
  } finally {
    endOf(run, { journal, isDone });
    talk(summary(run.tally, { tookMs: performance.now() - startedAt, earlier }));
  }
  return reportTally(run.tally, { json: many.flags.json, earlier });
}

/** Prints the last results; closes the journal, or removes it if the run is done. */
function endOf(
  run: ManyRun,
  { journal, isDone }: { journal: SubmitJournal | undefined; isDone: boolean },
): void {
  if (isDone) {
    try {
      return journal?.finish();
    } catch (error) {
      throw withHint(error, resumeHint());
    }
  }
  try {
    run.flush();
  } finally {
    journal?.close();
  }
}

/** The command that resumes: the typed command without its token. */
function resumeHint(): string {
  const words = Deno.args.filter((word, i) =>
    word !== "--resume" && word !== "--force" && !/^--token(=|$)/.test(word) &&
    Deno.args[i - 1] !== "--token"
  );
  return `resume with: sd ${[...words, "--resume"].map(shellQuote).join(" ")}`;
}

async function runWith(
  run: ManyRun,
  { many, source, journal }: {
    many: LinesToSubmit;
    source: ReadableStream<Uint8Array>;
    journal: SubmitJournal | undefined;
  },
): Promise<void> {
  const goOn = () => journal?.isBegun ? resumeHint() : undefined;
  const unfinished = () => [goesOn(run.running), goOn()].filter(Boolean).join("; ") || undefined;
  const frame = {
    flags: many.flags,
    unfinished,
    reconnects: true,
    drain: () => {
      if (run.running > 0) {
        talk(`no more lines are sent; waiting for ${count(run.running)} (Ctrl-C stops waiting)`);
      }
      run.stop(DRAINED);
      return true;
    },
  };
  const { waitMs } = many;
  const all = (client: Client) =>
    run.all(client, source).catch((error) => {
      throw withHint(error, goOn() ?? run.whatIsLost());
    });
  try {
    await withClient(frame, (client) =>
      within(all(client), {
        ms: waitMs,
        late: () => outOfTime(client, { waitMs, what: "not all results", hint: unfinished() }),
      }));
  } catch (error) {
    if (error !== DRAINED) throw error;
    throw interrupted({ flags: many.flags, unfinished: goOn });
  }
}

/** Size and time of the file; `undefined` if it is not a file, and so cannot be resumed. */
async function fileSize(
  { file, resume }: LinesToSubmit,
): Promise<{ file: { bytes: number; modified: string | null } } | undefined> {
  try {
    const stat = file === "-" ? undefined : await Deno.stat(file);
    if (stat?.isFile) {
      return { file: { bytes: stat.size, modified: stat.mtime?.toISOString() ?? null } };
    }
  } catch (error) {
    throw cannotRead(file, error);
  }
  if (!resume) return undefined;
  throw new ClientError("usage", "only a file can be resumed: --resume needs --file FILE");
}

/** Everything that decides which task a line becomes. */
function readingOf({ reading, options }: LinesToSubmit): string {
  const given = Object.keys(options).length > 0 ? ` with ${JSON.stringify(options)}` : "";
  return describeReading(reading) + given;
}

async function showProgress(
  { run, earlier, bytes }: {
    run: ManyRun;
    earlier: Earlier | undefined;
    bytes: number | undefined;
  },
): Promise<Disposable | undefined> {
  if (!Deno.stderr.isTerminal() || Deno.env.get("TERM") === "dumb") return undefined;
  // Loaded here, since most runs draw no progress.
  const { ProgressBar } = await import("./progress.ts");
  return new ProgressBar(() => {
    const { progress: read, tally } = run;
    return {
      done: endedOf(tally) + (earlier?.lines ?? 0),
      failed: failedOf(tally) + (earlier?.failed ?? 0),
      // An estimate: further lines are as long as the lines so far.
      total: bytes === undefined
        ? undefined
        : Math.round(read.lines * bytes / Math.max(read.bytes, 1)),
    };
  });
}

function goesOn(running: number): string | undefined {
  if (running === 0) return undefined;
  return `${count(running)} ${running === 1 ? "goes" : "go"} on; see: sd ls`;
}

function count(tasks: number): string {
  return `${withCommas(tasks)} ${tasks === 1 ? "task" : "tasks"}`;
}
