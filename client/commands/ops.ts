/** `sd ops`: lists the ops that can be submitted now, or prints everything that is known about one. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { nearest } from "../../cli/nearest.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls, print } from "../../cli/talk.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { cutText, quote, SdError } from "../../protocol/errors.ts";
import type { OpView } from "../../protocol/task.ts";
import { alignedTable } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

export const ops = defineCommand({
  name: "ops",
  summary: "list the ops, and how many workers have each",
  positional: "[NAME]",
  maxArgs: 1,
  flags: CLIENT_FLAGS,
  examples: [
    ["sd ops", "a line for each op"],
    ["sd ops resize", "all details of an op, with the schema of its arguments"],
  ],
  notes: ["Exit: 0 done, 7 no such op."],
  async run({ flags, args: [name] }) {
    const all = await withClient({ flags }, (client) => client.ops());
    const list = name === undefined ? all : [find(all, name)];
    if (flags.json) printData({ ops: list });
    else print(name === undefined ? opTable(list) : list.map(opDetails).join("\n"));
    return EXIT.ok;
  },
});

function find(all: readonly OpView[], name: string): OpView {
  const found = all.find(({ op }) => op === name);
  if (found) return found;
  const meant = nearest(name, all.map(({ op }) => op));
  const hint = meant === undefined ? "" : `; did you mean ${quote(meant)}?`;
  throw new SdError("unknown_op", `no worker has an op ${quote(name)}${hint}`);
}

const HEADINGS = ["OP", "WORKERS", "FILE", "OPTIONS"];
const LINE_CHARS = 80;
/** Least width of the last column. */
const MIN_OPTIONS_CHARS = 20;

/** A table of ops, cut at about the width of a terminal. */
export function opTable(views: readonly OpView[]): string {
  const rows = views.map((view) => [
    view.op,
    String(view.workers),
    view.file ?? "",
    optionsText(view),
  ]);
  const hasFiles = rows.some((row) => row[2] !== "");
  const isSaid = rows.some((row) => row[3] !== "");
  const columns = [true, true, hasFiles, isSaid];
  const shown = [HEADINGS, ...rows].map((row) => row.filter((_cell, i) => columns[i]));
  if (isSaid) cutLast(shown);
  return alignedTable(shown, [1]);
}

/** All details of an op, and the schema of its arguments. */
export function opDetails(view: OpView): string {
  const { op, file, version, workers, paused, permissions, schema } = view;
  const rows = [
    ["op", op],
    ["file", file ?? "built in"],
    ...(version === undefined ? [] : [["version", version]]),
    ["workers", String(workers)],
    ...(paused ? [["paused", `resume it with: sd resume ${op}`]] : []),
    ...optionsOf(view),
    ...(view.isolate
      ? [["isolate", `a fresh ${view.isolate === true ? "worker" : "process"} for each run`]]
      : []),
    ...(permissions ? [["permissions", permissions.join(", ") || "none"]] : []),
    ...(schema ? [["schema", schema.vendor]] : []),
  ];
  const table = alignedTable(rows);
  if (!schema?.json) return table;
  // The schema can come from strangers, like the cells of the table.
  return `${table}\n\n${escapeControls(JSON.stringify(schema.json, null, 2), true)}`;
}

/** Like `timeout 2m, attempts 3`. */
function optionsText(view: OpView): string {
  const { paused, isolate, permissions, schema } = view;
  return [
    ...(paused ? ["paused"] : []),
    ...optionsOf(view).map((option) => option.join(" ")),
    ...(schema ? [`schema from ${schema.vendor}`] : []),
    ...(isolate ? [isolate === true ? "isolated" : "own process"] : []),
    ...(permissions ? permissions.length > 0 ? permissions : ["no permissions"] : []),
  ].join(", ");
}

function optionsOf(view: OpView): [name: string, value: string][] {
  const { timeout, attempts, backoff, expires, limit, rate } = view;
  const options: [string, string | number | undefined][] = [
    ["timeout", timeout === undefined ? undefined : formatDuration(timeout)],
    ["attempts", attempts],
    ["backoff", backoff === undefined ? undefined : formatDuration(backoff)],
    ["expires", expires === undefined ? undefined : formatDuration(expires)],
    ["limit", limit],
    ["rate", rate],
  ];
  return options.flatMap(([name, value]) => value === undefined ? [] : [[name, String(value)]]);
}

/** Cuts the last column of `rows` to keep lines short enough. */
function cutLast(rows: string[][]): void {
  const last = (rows[0]?.length ?? 0) - 1;
  let before = 0;
  for (let i = 0; i < last; i++) {
    before += Math.max(...rows.map((row) => row[i]?.length ?? 0)) + 2;
  }
  const room = Math.max(MIN_OPTIONS_CHARS, LINE_CHARS - before);
  for (const row of rows) {
    const text = row[last] ?? "";
    row[last] = cutText(text, room);
  }
}
