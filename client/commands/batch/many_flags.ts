/** The flags of `sd submit` for many tasks: how lines become tasks, and how they are sent. */

import { ClientError } from "../../../net/client_error.ts";
import type { FlagSpecs, FlagValues } from "../../../cli/flag_spec.ts";
import { kebab } from "../../../cli/flags.ts";
import { MAX_MANY_IN_FLIGHT } from "../../../protocol/limits.ts";
import type { Reading } from "./line_format.ts";

const DEFAULT_ARG = "data";
const DEFAULT_IN_FLIGHT = 1024;

/** Flags for a payload and for many lines. */
export const OP_FLAGS = {
  op: { type: "string", value: "OP", help: "op to run; the payload or line is its arguments" },
  arg: {
    type: "string",
    value: "NAME",
    help: "with --op, the argument for plain text",
    fallback: DEFAULT_ARG,
  },
  dryRun: { type: "boolean", help: "send nothing; print how many tasks of each op would be sent" },
} as const satisfies FlagSpecs;

export const MANY_FLAGS = {
  file: {
    type: "string",
    short: "f",
    value: "FILE",
    help: "read a task a line from this file; - is stdin",
  },
  csv: { type: "boolean", help: "read CSV with a header row (default for FILE.csv)" },
  separator: { type: "string", value: "CHAR", help: "separator of cells", fallback: "," },
  strings: { type: "boolean", help: "keep numbers in cells as text" },
  inFlight: {
    type: "integer",
    value: "N",
    min: 1,
    max: MAX_MANY_IN_FLIGHT,
    help: "most tasks in flight",
    fallback: String(DEFAULT_IN_FLIGHT),
  },
  ordered: { type: "boolean", help: "print results in the order of the lines" },
  strict: { type: "boolean", help: "stop at the first invalid or refused line" },
  resume: { type: "boolean", help: "resume an interrupted file" },
  force: {
    type: "boolean",
    help: "send an interrupted file again from the start; with --resume, resume a changed file",
  },
} as const satisfies FlagSpecs;

type ManyValues = FlagValues<typeof MANY_FLAGS>;
type OpValues = FlagValues<typeof OP_FLAGS>;

/** How lines are read. Throws `usage` for flags that exclude each other. */
export function readingOf(flags: ManyValues & OpValues): Reading {
  const { op, arg, strings, separator } = flags;
  const csv = flags.csv || /\.csv$/i.test(flags.file ?? "");
  const stray = !csv && strings
    ? "--strings"
    : !csv && separator !== undefined
    ? "--separator"
    : undefined;
  if (stray) throw new ClientError("usage", `${stray} is for CSV: add --csv`);
  if (arg !== undefined && csv) {
    throw new ClientError(
      "usage",
      "--arg is for plain text; in CSV the first row names the arguments",
    );
  }
  checkArg(flags);
  return { op, arg: arg ?? DEFAULT_ARG, csv, strings, separator: separatorOf(separator) };
}

/** How lines are sent. */
export function sendingOf(flags: ManyValues) {
  const { ordered, strict, resume, force, inFlight = DEFAULT_IN_FLIGHT } = flags;
  return { ordered, strict, resume, force, inFlight };
}

/** How one payload is read. Throws `usage` for flags that are for many lines. */
export function oneReadingOf(
  flags: ManyValues & OpValues,
): { op: string | undefined; arg: string } {
  const stray = Object.keys(MANY_FLAGS).find((name) => {
    const value = flags[name as keyof ManyValues];
    return value !== undefined && value !== false;
  });
  if (stray) {
    throw new ClientError("usage", `--${kebab(stray)} is for many tasks, and this is one task`, {
      hint: "give many tasks with --file FILE, or a task a line on stdin",
    });
  }
  checkArg(flags);
  return { op: flags.op, arg: flags.arg ?? DEFAULT_ARG };
}

function checkArg({ op, arg }: OpValues): void {
  if (arg === undefined) return;
  if (op === undefined) {
    throw new ClientError("usage", "--arg needs --op");
  }
  if (["op", "cmd", "ref", "task"].includes(arg)) {
    throw new ClientError("usage", `an argument of a task cannot be called ${arg}`);
  }
}

function separatorOf(text = ","): string {
  const separator = text === "tab" || text === "\\t" ? "\t" : text;
  if ([...separator].length === 1 && !'"\r\n'.includes(separator)) return separator;
  throw new ClientError(
    "usage",
    `--separator is one character, or tab; this is ${JSON.stringify(text)}`,
  );
}
