/** The texts of `--help`, for a command and for sd as a whole. Pure. */

import { formatByteSize, formatDuration } from "../protocol/text_forms.ts";
import type { FlagSpec, FlagSpecs } from "./flag_spec.ts";
import { kebab } from "./flags.ts";

/** Greatest width of a line; wider lines are hard to read. */
const MAX_COLUMNS = 88;
const MIN_COLUMNS = 60;
const GAP = "  ";

/** The description of a command. */
export interface CommandFace {
  name: string;
  summary: string;
  /** The arguments in the usage line: `"[PAYLOAD]"`. */
  positional?: string;
  flags: FlagSpecs;
  examples: readonly (readonly [commandLine: string, whatItDoes: string])[];
  /** Paragraphs below the flags. */
  notes?: readonly string[];
}

/** The appearance of help. */
export interface HelpStyle {
  heading(text: string): string;
  /** The columns of the terminal, if there is one. */
  columns?: number | undefined;
}

/** The help of one command. */
export function commandHelp(face: CommandFace, style: HelpStyle): string {
  const { heading } = style;
  const room = roomOf(style);
  const flags = Object.entries(face.flags).filter(([, spec]) => !spec.hidden);
  const parts = [
    `sd ${face.name}: ${face.summary}`,
    `${heading("Usage:")} sd ${face.name}${face.positional ? ` ${face.positional}` : ""} [flags]`,
  ];
  if (face.examples.length > 0) {
    parts.push(`${heading("Examples:")}\n${columns(face.examples, { room })}`);
  }
  const rows = flags.map(([name, spec]) => flagRow(name, spec));
  if (rows.length > 0) parts.push(`${heading("Flags:")}\n${columns(rows, { room })}`);
  for (const note of face.notes ?? []) parts.push(wrap(note, room).join("\n"));
  return parts.join("\n\n");
}

/** The overview of all commands, in groups. */
export function overview(
  groups: readonly (readonly [title: string, rows: readonly (readonly [string, string])[]])[],
  style: HelpStyle,
): string {
  const { heading } = style;
  const room = roomOf(style);
  const all = groups.flatMap(([, rows]) => rows.map(([name]) => name.length));
  const least = Math.max(...all);
  const parts = [
    "sd: a task server in one executable",
    `${heading("Usage:")} sd COMMAND [arguments] [flags]`,
    ...groups.map(([title, rows]) => `${heading(`${title}:`)}\n${columns(rows, { room, least })}`),
    "Help for a command: sd COMMAND --help. Version: sd --version.",
  ];
  return parts.join("\n\n");
}

function roomOf({ columns = MAX_COLUMNS }: HelpStyle): number {
  return Math.max(MIN_COLUMNS, Math.min(MAX_COLUMNS, columns));
}

function flagRow(name: string, spec: FlagSpec): [string, string] {
  const long = spec.type === "boolean" && spec.negatable ? `[no-]${kebab(name)}` : kebab(name);
  const value = spec.type === "boolean"
    ? ""
    : spec.type === "grant"
    ? `[=${spec.value}]`
    : ` ${spec.value}`;
  const left = `${spec.short ? `-${spec.short}, ` : ""}--${long}${value}`;
  return [left, `${spec.help}${aside(spec)}`];
}

/** `(default 30s; env SD_SERVER)`. */
function aside(spec: FlagSpec): string {
  if (spec.type === "boolean" || spec.type === "list" || spec.type === "grant") return "";
  const standard = spec.default === undefined ? spec.fallback : valueText(spec.type, spec.default);
  const facts: string[] = [];
  if (spec.type === "string" && spec.choices) facts.push(spec.choices.join(", "));
  if (spec.type === "integer" && spec.default === undefined) {
    facts.push(`${spec.min} to ${spec.max}`);
  }
  if (standard !== undefined) facts.push(`default ${standard}`);
  if (spec.env !== undefined) facts.push(`env ${spec.env}`);
  if (spec.inherits !== undefined) facts.push(`else ${spec.inherits}`);
  return facts.length > 0 ? ` (${facts.join("; ")})` : "";
}

function valueText(type: FlagSpec["type"], value: string | number): string {
  if (typeof value === "string") return value;
  if (type === "duration") return formatDuration(value);
  return type === "size" ? formatByteSize(value) : String(value);
}

/** Two columns. The right one wraps; a left cell that is too wide has a line of its own. */
function columns(
  rows: readonly (readonly [string, string])[],
  { room, least = 0 }: { room: number; least?: number },
): string {
  const widest = Math.max(least, ...rows.map(([left]) => left.length));
  const width = Math.min(widest, room >> 1);
  const indent = " ".repeat(GAP.length + width + GAP.length);
  const lines: string[] = [];
  for (const [left, right] of rows) {
    const [first = "", ...more] = wrap(right, room - indent.length);
    if (left.length > width) lines.push(`${GAP}${left}`, indent + first);
    else lines.push(`${GAP}${left.padEnd(width)}${GAP}${first}`);
    lines.push(...more.map((line) => indent + line));
  }
  return lines.join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}
