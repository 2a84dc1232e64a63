/**
 * The text of a log entry, as `console.log` would print it: strings as they are, everything else as Deno shows it, with
 * `%s` and the other specifiers filled in. Nothing here throws, whatever the values are.
 */

import { MAX_LOG_ENTRY_CHARS } from "../../protocol/limits.ts";
import { charCodeAt, indexOf, inspect, slice, toText } from "../primordials.ts";

const OPTIONS = { colors: false, depth: 4, iterableLimit: 100, strAbbreviateSize: 10_000 };

const PERCENT = 37;
const [LETTER_UPPER_O, LETTER_C, LETTER_D, LETTER_F, LETTER_I, LETTER_J, LETTER_O, LETTER_S] = [
  79,
  99,
  100,
  102,
  105,
  106,
  111,
  115,
];

/** The values from index `from` on, as one text of at most the length of an entry. */
export function logText(values: readonly unknown[], from = 0): string {
  let text = "";
  let next = from;
  const first = values[from];
  if (values.length > from + 1 && typeof first === "string" && indexOf(first, "%") >= 0) {
    const filled = fillIn(first, values, from + 1);
    text = filled.text;
    next = filled.next;
  }
  for (; next < values.length && text.length <= MAX_LOG_ENTRY_CHARS; next++) {
    if (next > from) text += " ";
    text += plain(values[next]);
  }
  return clipText(text);
}

/**
 * `text` cut to the length of an entry, or to `most`. A cut text ends in `…`, and is never cut within a pair of
 * surrogates. `cutText` of `protocol/errors.ts` is not used: it calls methods that task code can have changed.
 */
export function clipText(text: string, most = MAX_LOG_ENTRY_CHARS): string {
  if (text.length <= most) return text;
  const next = charCodeAt(text, most - 1);
  const isWithin = next >= 0xdc00 && next <= 0xdfff;
  return `${slice(text, 0, most - (isWithin ? 2 : 1))}…`;
}

/** The text of a value, as Deno shows it. */
export function shown(value: unknown): string {
  try {
    return inspect(value, OPTIONS);
  } catch {
    // A getter, a trap of a proxy, or the value's own method for this has thrown.
    return "[a value that cannot be shown]";
  }
}

/** A string as it is, anything else as Deno shows it. */
function plain(value: unknown): string {
  return typeof value === "string" ? slice(value, 0, MAX_LOG_ENTRY_CHARS + 1) : shown(value);
}

/** `format` with its specifiers replaced by the values from `next` on; and the index of the next unused value. */
function fillIn(
  format: string,
  values: readonly unknown[],
  next: number,
): { text: string; next: number } {
  let text = "";
  let done = 0;
  for (let at = indexOf(format, "%"); at >= 0; at = indexOf(format, "%", at)) {
    const letter = charCodeAt(format, at + 1);
    const filled = next < values.length ? filledIn(letter, values[next]) : undefined;
    if (letter !== PERCENT && filled === undefined) {
      at++;
      continue;
    }
    text += slice(format, done, at) + (filled ?? "%");
    if (filled !== undefined) next++;
    at += 2;
    done = at;
    if (text.length > MAX_LOG_ENTRY_CHARS) break;
  }
  return { text: text + slice(format, done, done + MAX_LOG_ENTRY_CHARS + 1), next };
}

/** `value` in the form that the letter after a `%` asks for; `undefined` if that letter is no specifier. */
function filledIn(letter: number, value: unknown): string | undefined {
  switch (letter) {
    case LETTER_S:
      return plain(value);
    case LETTER_D:
    case LETTER_F:
    case LETTER_I:
      return numberText(value, letter === LETTER_I);
    case LETTER_J:
    case LETTER_O:
    case LETTER_UPPER_O:
      return shown(value);
    case LETTER_C:
      // A style: text has none.
      return "";
    default:
      return undefined;
  }
}

function numberText(value: unknown, isWhole: boolean): string {
  if (typeof value === "bigint") return `${value}n`;
  // An object is not converted: that would call code of the task.
  if (typeof value !== "number" && typeof value !== "string") return "NaN";
  const number = +value;
  return toText(isWhole ? number - number % 1 : number);
}
