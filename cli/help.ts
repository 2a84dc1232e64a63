/** What `--help` prints: of one command, and of sd as a whole. Text in, text out. */

import { formatByteSize, formatDuration } from "../protocol/text_forms.ts";
import type { FlagSpec, FlagSpecs } from "./flag_spec.ts";
import { kebab } from "./flags.ts";

/** Wider lines are hard to read, also where there is room. */
const MAX_COLUMNS = 88;
const MIN_COLUMNS = 60;
const GAP = "  ";

/** What there is to know of a command without running it. */
export interface CommandFace {
  name: string;
  summary: string;
  /** Its arguments as usage shows them: `"[PAYLOAD]"`. */
  positional?: string;
  flags: FlagSpecs;
  examples: readonly (readonly [commandLine: string, whatItDoes: string])[];
  /** Paragraphs for what flags cannot say. */
  notes?: readonly string[];
}

/** How help is to look. */
export interface HelpStyle {
  heading(text: string): string;
  /** Those of the terminal, where there is one. */
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
    "sd COMMAND --help tells of one command; sd --version of this release.",
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
  const facts: string[] = [];
  if (spec.type === "string" && spec.choices) facts.push(spec.choices.join(", "));
  if (spec.type === "integer" && spec.default === undefined) {
    facts.push(`${spec.min} to ${spec.max}`);
  }
  if (spec.default !== undefined) {
    facts.push(`default ${valueText(spec.type, spec.default)}`);
  }
  if (spec.env !== undefined) facts.push(`env ${spec.env}`);
  if (spec.inherits !== undefined) facts.push(`else ${spec.inherits}`);
  return facts.length > 0 ? ` (${facts.join("; ")})` : "";
}

function valueText(type: FlagSpec["type"], value: string | number): string {
  if (typeof value === "string") return value;
  if (type === "duration") return formatDuration(value);
  return type === "size" ? formatByteSize(value) : String(value);
}

/** Two columns; the right one wraps, a left one that is too wide stands on a line of its own. */
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
