/** The flags of `sd submit` that say how lines become tasks, and how many of them are sent. */

import { ClientError } from "../../../net/client_error.ts";
import type { FlagSpecs, FlagValues } from "../../../cli/flag_spec.ts";
import { kebab } from "../../../cli/flags.ts";
import { MAX_MANY_IN_FLIGHT } from "../../../protocol/limits.ts";
import type { Reading } from "./line_format.ts";

const DEFAULT_ARG = "data";
const DEFAULT_IN_FLIGHT = 1024;

/** Of one payload as of many lines. */
export const OP_FLAGS = {
  op: { type: "string", value: "OP", help: "what to run; what is sent are then its arguments" },
  arg: {
    type: "string",
    value: "NAME",
    help: "with --op, the argument that plain text is; data where none is given",
  },
  dryRun: { type: "boolean", help: "send nothing; say how many tasks of which ops would be sent" },
} as const satisfies FlagSpecs;

export const MANY_FLAGS = {
  file: {
    type: "string",
    short: "f",
    value: "FILE",
    help: "one task a line from this file; - is stdin",
  },
  csv: { type: "boolean", help: "rows with a header, as if the file were called .csv" },
  separator: { type: "string", value: "CHAR", help: "what stands between cells; , if not given" },
  strings: { type: "boolean", help: "leave numbers in cells as text" },
  inFlight: {
    type: "integer",
    value: "N",
    min: 1,
    max: MAX_MANY_IN_FLIGHT,
    help: `how many tasks at a time; ${DEFAULT_IN_FLIGHT} where none is given`,
  },
  ordered: { type: "boolean", help: "results in the order of the lines" },
  strict: { type: "boolean", help: "stop at the first line that is no task, or is refused" },
  resume: { type: "boolean", help: "go on with a file that was interrupted" },
  force: {
    type: "boolean",
    help: "send a file again that was interrupted; with --resume, go on though it has changed",
  },
} as const satisfies FlagSpecs;

type ManyValues = FlagValues<typeof MANY_FLAGS>;
type OpValues = FlagValues<typeof OP_FLAGS>;

/** How lines are read. Throws `usage` for flags that do not go together. */
export function readingOf(flags: ManyValues & OpValues): Reading {
  const { op, arg, strings, separator } = flags;
  const csv = flags.csv || /\.csv$/i.test(flags.file ?? "");
  const stray = !csv && strings
    ? "--strings"
    : !csv && separator !== undefined
    ? "--separator"
    : undefined;
  if (stray) throw new ClientError("usage", `${stray} is for CSV: it goes with --csv`);
  if (arg !== undefined && csv) {
    throw new ClientError("usage", "--arg is for plain text; in CSV the first row names arguments");
  }
  checkArg(flags);
  return { op, arg: arg ?? DEFAULT_ARG, csv, strings, separator: separatorOf(separator) };
}

/** What many lines are sent with beside their reading. */
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
    throw new ClientError("usage", `--${kebab(stray)} is for many tasks, and this is one`, {
      hint: "give them with --file FILE, or one a line on stdin",
    });
  }
  checkArg(flags);
  return { op: flags.op, arg: flags.arg ?? DEFAULT_ARG };
}

function checkArg({ op, arg }: OpValues): void {
  if (arg === undefined) return;
  if (op === undefined) {
    throw new ClientError("usage", "--arg names an argument of --op, and there is none");
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
