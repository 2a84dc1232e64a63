/** The lines on the screen of `sd top`, from the snapshot and the state of the user interface. Pure. */

import { formatDuration } from "../../../protocol/text_forms.ts";
import type { ServerStats, TaskView } from "../../../protocol/task.ts";
import { age } from "../base/table.ts";
import type { Snapshot } from "./snapshot.ts";
import type { ScreenLine, Size } from "./terminal.ts";
import { type Column, compact, counted, fit, tableLines } from "./text.ts";

/** Most rows of ops and of pools; one row sums up the others. */
const MAX_OPS = 8;
const MAX_POOLS = 3;

const OP_COLUMNS: readonly Column[] = [
  { heading: "OP", least: 12 },
  { heading: "QUEUED", right: true },
  { heading: "RUNNING", right: true },
  { heading: "OLDEST", right: true },
];
/** The columns after the ids, whose heading is the title of the section. */
const TASK_COLUMNS: readonly Column[] = [
  { heading: "OP", least: 8 },
  { heading: "STATUS" },
  { heading: "TRY", right: true },
  { heading: "AGE", right: true },
  { heading: "", least: 10 },
];
const HELP = `
  ↑ ↓  j k          move           PgUp PgDn  Home End  move far
  Enter             show a task: all its details, and why it does not run
  /                 show only tasks with a status, an op or an id; Esc: all tasks
  c                 cancel a task; asks first
  r                 retry a task that failed, was cancelled or expired
  ?                 this help
  q  Ctrl-C         quit; tasks go on

  Without a filter the list shows running tasks, longest first, then recent failures.`;

/** Least rows of the screen for pools, ops and the lines at the bottom. */
const [MIN_POOL_ROWS, MIN_OP_ROWS, MIN_FOOT_ROWS] = [12, 8, 4];
const MIN_CLOCK_COLUMNS = 50;

/** The state of the user interface. */
export type Mode =
  | { readonly name: "list" }
  | { readonly name: "filter"; readonly text: string }
  | { readonly name: "confirm"; readonly task: TaskView }
  | {
    readonly name: "task";
    readonly id: string;
    /** The task as it was when it was opened. */
    readonly task: TaskView;
    readonly lines: readonly string[];
    readonly from: number;
  }
  | { readonly name: "help" };

export interface Shown {
  readonly server: string;
  readonly snapshot: Snapshot | undefined;
  readonly mode: Mode;
  /** The filter as it was typed. */
  readonly filter: string;
  /** Index among the tasks, followed by the failures. */
  readonly selected: number;
  /** The outcome of the last action. */
  readonly notice: string;
  /** The reason for a lost connection. */
  readonly lost: string | undefined;
}

/** All lines of the screen, `size.rows` of them. */
export function screenLines(shown: Shown, size: Size): ScreenLine[] {
  const { snapshot, mode } = shown;
  const foot = size.rows >= MIN_FOOT_ROWS ? footLines(shown) : [];
  const head = snapshot
    ? headLines(shown.server, snapshot, size.columns)
    : [{ text: `sd top  ${shown.server}  …`, look: "bold" as const }];
  const room = Math.max(0, size.rows - head.length - foot.length);
  const body = mode.name === "help"
    ? HELP.split("\n").map((text) => ({ text }))
    : mode.name === "task"
    ? taskLines(mode, room)
    : snapshot
    ? listLines({ ...shown, snapshot }, { rows: room, columns: size.columns })
    : [];
  const lines: ScreenLine[] = [...head, ...body].slice(0, size.rows - foot.length);
  while (lines.length < size.rows - foot.length) lines.push({ text: "" });
  return [...lines, ...foot];
}

/** Rows that Page Up and Page Down move. */
export function pageRows(size: Size): number {
  return Math.max(1, Math.floor(size.rows / 3));
}

function headLines(server: string, { stats, rates }: Snapshot, columns: number): ScreenLine[] {
  const { engine, uptime_ms, now, version } = stats;
  const left = `sd top  ${server}  sd ${version}  ${engine}  up ${formatDuration(uptime_ms)}`;
  const clock = `${now.slice(11, 19)}Z`;
  return [
    {
      text: columns < MIN_CLOCK_COLUMNS
        ? left
        : `${fit(left, columns - clock.length - 1)} ${clock}`,
      look: "bold",
    },
    { text: flowText(stats, rates) },
    { text: countsText(stats) },
    ...(stats.paused.length > 0
      ? [{ text: `paused: ${pausedText(stats.paused)}`, look: "yellow" as const }]
      : []),
    { text: "" },
  ];
}

function flowText(
  { ops, workers, connections, now }: ServerStats,
  rates: Snapshot["rates"],
): string {
  const [oldest] = ops.filter(({ waiting_since }) => waiting_since !== undefined)
    .toSorted((a, b) => a.waiting_since! < b.waiting_since! ? -1 : 1);
  const inOut = rates
    ? `in ${compact(Math.round(rates.submitted))}/s  out ${compact(Math.round(rates.finished))}/s`
    : "in …  out …";
  const waiting = oldest?.waiting_since;
  return [
    inOut,
    ...(waiting === undefined ? [] : [`oldest waits ${age(waiting, Date.parse(now))}`]),
    `${counted(workers.workers, "worker")} in ${counted(workers.pools, "pool")}`,
    counted(connections, "connection"),
  ].join("  ");
}

/** The usual counts, and all other counts above 0. */
function countsText({ tasks }: ServerStats): string {
  const always = new Set(["queued", "running", "completed", "failed"]);
  return Object.entries(tasks).filter(([status, count]) => count > 0 || always.has(status))
    .map(([status, count]) => `${status} ${compact(count)}`).join("  ");
}

function pausedText([first = "", ...more]: readonly string[]): string {
  return first === "*" ? "all ops" : [first, ...more].join(", ");
}

function listLines(shown: Shown & { snapshot: Snapshot }, { rows, columns }: Size): ScreenLine[] {
  const { snapshot, filter } = shown;
  const { tasks, failures } = snapshot;
  const most = Math.max(2, Math.floor(rows / 4));
  const above = [
    ...(rows >= MIN_OP_ROWS ? opLines(snapshot, { rows: most, columns }) : []),
    ...serverLines(snapshot, columns),
    ...(rows >= MIN_POOL_ROWS ? poolLines(snapshot, columns) : []),
  ];
  const room = Math.max(0, rows - above.length);
  // Each part has a heading; an empty line separates the two.
  const failed = failures.length === 0 ? 0 : Math.min(failures.length + 2, Math.max(4, room >> 1));
  const now = Date.parse(snapshot.stats.now);
  const title = filter === "" ? "RUNNING" : `ONLY ${filter}`;
  const upper = section(tasks, {
    title,
    now,
    columns,
    rows: room - failed,
    selected: shown.selected,
  });
  const lower = section(failures, {
    title: "FAILED LATELY",
    now,
    columns,
    rows: failed - 1,
    selected: shown.selected - tasks.length,
  });
  return [...above, ...upper, ...(failed > 0 ? [{ text: "" }, ...lower] : [])];
}

function opLines({ stats }: Snapshot, { rows, columns }: Size): ScreenLine[] {
  const { ops } = stats;
  if (ops.length === 0) {
    return [{ text: "nothing is queued or running", look: "dim" }, { text: "" }];
  }
  const most = Math.min(rows, MAX_OPS);
  const shown = ops.length > most ? ops.slice(0, most - 1) : ops;
  const now = Date.parse(stats.now);
  const [heading = "", ...lines] = tableLines(OP_COLUMNS, {
    rows: shown.map(({ op, queued, running, waiting_since }) => [
      op,
      compact(queued),
      compact(running),
      waiting_since === undefined ? "" : age(waiting_since, now),
    ]),
    width: columns,
  });
  const more = ops.length - shown.length;
  return [
    { text: heading, look: "bold" },
    ...lines.map((text) => ({ text })),
    ...(more > 0 ? [{ text: `and ${counted(more, "op")} more`, look: "dim" as const }] : []),
    { text: "" },
  ];
}

/** One line with the servers of a cluster, the leader first. */
function serverLines({ stats: { servers } }: Snapshot, columns: number): ScreenLine[] {
  if (!servers) return [];
  const names = servers.map(({ name, role, draining }) => `${name} ${draining ? "stops" : role}`);
  const hasLeader = servers.some(({ role }) => role === "leads");
  const text = `${counted(servers.length, "server")}  ${names.join(", ")}`;
  return [{ text: fit(text, columns), ...(hasLeader ? {} : { look: "yellow" as const }) }];
}

function poolLines({ stats: { pools } }: Snapshot, columns: number): ScreenLine[] {
  if (pools.length === 0) {
    return [{ text: "no workers; add some with: sd work", look: "yellow" }, { text: "" }];
  }
  const shown = pools.length > MAX_POOLS ? pools.slice(0, MAX_POOLS - 1) : pools;
  const isSpread = new Set(pools.map(({ machine }) => machine)).size > 1;
  const lines = shown.map(({ pid, machine, workers, held, ops }) => {
    const what = ops.map(({ op, held }) => `${op} ${compact(held)}`).join(", ");
    const idle = held === 0 ? "idle" : `holds ${compact(held)}: ${what}`;
    const on = isSpread && machine !== undefined ? ` on ${machine}` : "";
    return { text: fit(`pool ${pid}${on}  ${counted(workers, "worker")}  ${idle}`, columns) };
  });
  const more = pools.length - shown.length;
  const rest = more > 0
    ? [{ text: `and ${counted(more, "pool")} more`, look: "dim" as const }]
    : [];
  return [...lines, ...rest, { text: "" }];
}

interface Section {
  readonly title: string;
  readonly now: number;
  readonly columns: number;
  /** Rows of the section, with its heading. */
  readonly rows: number;
  /** Index of the selected task; outside of the tasks if none is selected. */
  readonly selected: number;
}

function section(tasks: readonly TaskView[], options: Section): ScreenLine[] {
  const { title, now, columns, rows, selected } = options;
  if (rows < 1) return [];
  if (tasks.length === 0) return [{ text: `  ${title}: none`, look: "dim" }];
  const room = Math.max(1, rows - 1);
  const from = Math.max(0, Math.min(selected - room + 1, tasks.length - room));
  const [heading = "", ...lines] = tableLines([{ heading: title, least: 12 }, ...TASK_COLUMNS], {
    rows: tasks.slice(from, from + room).map((task) => taskCells(task, now)),
    width: columns - 2,
  });
  return [
    { text: `  ${heading}`, look: "bold" },
    ...lines.map((text, i): ScreenLine =>
      from + i === selected ? { text: `> ${text}`, look: "selected" } : { text: `  ${text}` }
    ),
  ];
}

function taskCells(task: TaskView, now: number): string[] {
  const { task_id, op, status, attempt, attempts, created_at, started_at, finished_at } = task;
  const { progress, error } = task;
  const far = progress && `${Math.floor(progress.fraction * 100)} % ${progress.note ?? ""}`;
  const why = error && `${error.code}: ${error.message}`;
  const since = finished_at ?? (status === "running" ? started_at : undefined) ?? created_at;
  return [task_id, op, status, `${attempt}/${attempts}`, age(since, now), far ?? why ?? ""];
}

function taskLines(
  { lines, from }: { lines: readonly string[]; from: number },
  rows: number,
): ScreenLine[] {
  return lines.slice(from, from + rows).map((text) => ({ text }));
}

function footLines({ mode, notice, lost, filter }: Shown): ScreenLine[] {
  const told: ScreenLine = lost === undefined
    ? { text: notice }
    : { text: `${lost}; trying again`, look: "red" };
  return [told, { text: keysText(mode, filter), look: mode.name === "confirm" ? "yellow" : "dim" }];
}

function keysText(mode: Mode, filter: string): string {
  switch (mode.name) {
    case "filter":
      return `status, op or id: ${mode.text}_   Enter shows the tasks, Esc cancels`;
    case "confirm":
      return `cancel ${mode.task.task_id} (${mode.task.op}, ${mode.task.status})? y n`;
    case "task":
      return "Esc back  ↑↓ scroll  c cancel  r retry  q quit";
    case "help":
      return "any key goes back";
    case "list":
      return `q quit  ↑↓ move  Enter task  / filter  c cancel  r retry  ? help${
        filter === "" ? "" : "  Esc all"
      }`;
  }
}
