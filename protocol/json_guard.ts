/**
 * Checks that `JSON.parse` does not make: nesting that is too deep for later steps, and numbers that would be silently
 * rounded. They work on the text, because a parsed number is already rounded.
 */

import { SdError } from "./errors.ts";
import { MAX_JSON_DEPTH } from "./limits.ts";

// Only a number with 16 digits or a three-digit exponent can be out of range; few lines have one.
const MAYBE_OUT_OF_RANGE = /\d{16}|\d[eE]\+?\d{3}/;
const NUMBER_LITERAL = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;

const QUOTE = 34, BACKSLASH = 92, MINUS = 45, ZERO = 48, NINE = 57;
const OPEN_BRACKET = 91, CLOSE_BRACKET = 93, OPEN_BRACE = 123, CLOSE_BRACE = 125;

/** Throws `bad_json` when `text` nests deeper than `levels`. Call it before `JSON.parse`. */
export function checkDepth(text: string, levels = MAX_JSON_DEPTH): void {
  // The text is too short for that many brackets.
  if (text.length < 2 * (levels + 1)) return;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(text, i);
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (++depth > levels) {
          throw new SdError(
            "bad_json",
            `the JSON is nested deeper than ${levels} levels (at character ${i + 1})`,
          );
        }
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
    }
  }
}

/**
 * Throws `bad_request` when a number in `text` cannot be held exactly: an integer literal beyond
 * ±(2^53−1), or a number that is infinite once read. `text` is JSON that parses.
 */
export function checkNumbers(text: string): void {
  if (!MAYBE_OUT_OF_RANGE.test(text)) return;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = endOfString(text, i);
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      NUMBER_LITERAL.lastIndex = i;
      const match = NUMBER_LITERAL.exec(text);
      if (!match) continue;
      checkLiteral(match[0], match[1] === undefined && match[2] === undefined);
      i += match[0].length - 1;
    }
  }
}

function checkLiteral(literal: string, isInteger: boolean): void {
  const shown = literal.length <= 40 ? literal : `${literal.slice(0, 37)}…`;
  const value = Number(literal);
  if (isInteger && !Number.isSafeInteger(value)) {
    throw new SdError(
      "bad_request",
      `the integer ${shown} is beyond ±9007199254740991 and would be rounded; send it as a string`,
    );
  }
  if (!Number.isFinite(value)) {
    throw new SdError("bad_request", `the number ${shown} is too large; send it as a string`);
  }
}

/** The end of the string that begins at `start`, or the end of the text if it does not end. */
export function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === BACKSLASH) i++;
    else if (code === QUOTE) return i;
  }
  return text.length;
}
