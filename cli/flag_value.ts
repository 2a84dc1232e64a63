/** One flag's text to its value: integers, durations, sizes and choices, each refused in its own words. */

import {
  formatByteSize,
  formatDuration,
  parseByteSize,
  parseDuration,
} from "../protocol/text_forms.ts";
import { quote, SdError } from "../protocol/errors.ts";
import { ClientError } from "../net/client_error.ts";
import type { FlagSpec } from "./flag_spec.ts";
import { nearest } from "./nearest.ts";

/** The value of `text`; `label` is what a message calls the flag. Throws `usage`. */
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
  const { min, max } = spec;
  const bytes = parsed(parseByteSize, label, text);
  if (bytes >= min && bytes <= max) return bytes;
  const bound = bytes < min ? `least ${formatByteSize(min)}` : `most ${formatByteSize(max)}`;
  throw new ClientError("usage", `${label} is at ${bound}; this is ${quote(text)}`);
}

/** What `parse` makes of `text`; what it refuses is the user's to mend. */
function parsed(parse: (text: string) => number, label: string, text: string): number {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof SdError)) throw error;
    throw new ClientError("usage", `${label} is ${error.message}`, { cause: error });
  }
}
