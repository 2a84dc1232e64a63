/** Flags as a command declares them, the types of their values, and the reading of one value from its text. */

import { ClientError } from "../net/client_error.ts";
import {
  formatByteSize,
  formatDuration,
  parseByteSize,
  parseDuration,
} from "../protocol/text_forms.ts";
import { quote, SdError } from "../protocol/errors.ts";
import { nearest } from "./nearest.ts";

interface SpecBase {
  /** One line, in lower case, for `--help`. */
  help: string;
  /** One letter: `short: "w"` is `-w`. */
  short?: string;
  /** Not shown in `--help`. */
  hidden?: boolean;
}

interface ValueSpecBase extends SpecBase {
  /** The placeholder of the value in help: `"HOST:PORT"`. */
  value: string;
  /** The environment variable that gives the value if the flag is missing. */
  env?: string;
  /** For help: the default that the command itself applies. */
  fallback?: string;
  /** For help: what the command looks at, in this order, if the flag is missing. */
  inherits?: string;
}

export type FlagSpec =
  /** `negatable`: `--no-NAME` sets it to false. */
  | SpecBase & { type: "boolean"; negatable?: boolean }
  | ValueSpecBase & { type: "string"; default?: string; choices?: readonly string[] }
  | ValueSpecBase & { type: "integer"; min: number; max: number; default?: number }
  /** Several values: the flag can be repeated, and each value can be a list with commas. */
  | ValueSpecBase & { type: "list" }
  /** `true` without a value; a value follows `=` only and is a list as above. */
  | ValueSpecBase & { type: "grant" }
  /** Text like `1m30s`; the value is in milliseconds. */
  | ValueSpecBase & { type: "duration"; min?: number; max?: number; default?: number }
  /** Text like `512M`; the value is in bytes. `unitBytes` is the unit of a bare number; default: a byte. */
  | ValueSpecBase & {
    type: "size";
    min: number;
    max: number;
    default?: number;
    unitBytes?: number;
  };

export type FlagSpecs = Record<string, FlagSpec>;

type ValueOf<S extends FlagSpec> = S extends { type: "boolean" } ? boolean
  : S extends { choices: readonly (infer Choice)[] } ? Choice
  : S extends { type: "string" } ? string
  : S extends { type: "list" } ? string[]
  : S extends { type: "grant" } ? true | string[]
  : number;

/** The values of flags: booleans are false by default, others `undefined` without a default. */
export type FlagValues<F extends FlagSpecs> = {
  [Name in keyof F]: F[Name] extends { type: "boolean" } | { default: string | number }
    ? ValueOf<F[Name]>
    : ValueOf<F[Name]> | undefined;
};

/** The value of `text`; `label` is the name of the flag in messages. Throws `usage`. */
export function readFlagValue(
  spec: Exclude<FlagSpec, { type: "list" | "grant" }>,
  { label, text }: { label: string; text: string },
): boolean | string | number {
  switch (spec.type) {
    case "boolean":
      return readBoolean(label, text);
    case "string":
      return readString(spec, label, text);
    case "integer":
      return readInteger(spec, label, text);
    case "duration":
      return readDuration(spec, label, text);
    case "size":
      return readSize(spec, label, text);
  }
}

function readBoolean(label: string, text: string): boolean {
  if (text === "true") return true;
  if (text === "false") return false;
  throw new ClientError("usage", `${label} takes no value; this is ${quote(text)}`);
}

function readString(spec: FlagSpec & { type: "string" }, label: string, text: string): string {
  if (spec.choices && !spec.choices.includes(text)) {
    const meant = nearest(text, spec.choices);
    throw new ClientError(
      "usage",
      `${label} is one of ${spec.choices.join(", ")}; this is ${quote(text)}`,
      { hint: meant && `did you mean ${meant}?` },
    );
  }
  return text;
}

function readInteger(spec: FlagSpec & { type: "integer" }, label: string, text: string): number {
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
  if (value >= spec.min && value <= spec.max) return value === 0 ? 0 : value;
  throw new ClientError(
    "usage",
    `${label} is an integer from ${spec.min} to ${spec.max}; this is ${quote(text)}`,
  );
}

function readDuration(spec: FlagSpec & { type: "duration" }, label: string, text: string): number {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = spec;
  const ms = parsed(parseDuration, label, text);
  if (ms < min) {
    throw new ClientError(
      "usage",
      `${label} is at least ${formatDuration(min)}; this is ${quote(text)}`,
    );
  }
  if (ms > max) {
    throw new ClientError(
      "usage",
      `${label} is at most ${formatDuration(max)}; this is ${quote(text)}`,
    );
  }
  return ms;
}

function readSize(spec: FlagSpec & { type: "size" }, label: string, text: string): number {
  const { min, max, unitBytes } = spec;
  const bytes = unitBytes !== undefined && /^[+-]?\d+$/.test(text)
    ? Number(text) * unitBytes
    : parsed(parseByteSize, label, text);
  if (bytes >= min && bytes <= max) return bytes;
  const bound = bytes < min ? `least ${formatByteSize(min)}` : `most ${formatByteSize(max)}`;
  throw new ClientError("usage", `${label} is at ${bound}; this is ${quote(text)}`);
}

/** The result of `parse`, whose errors become errors of the command line. */
function parsed(parse: (text: string) => number, label: string, text: string): number {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SdError)) throw error;
    throw new ClientError("usage", `${label} is ${error.message}`, { cause: error });
  }
}
