/**
 * Text as SQLite can keep it. It would cut U+0000 off when it is read, and turn a lone surrogate into
 * U+FFFD; so these, and the escape character itself, are stored as the escape and four hexadecimal digits.
 */

const ESCAPE = "\x1a";
/** Never the text of an escape: `null` in a sum over a row. */
export const NULL_MARK = ESCAPE;
/** A key that is empty, since the empty text stands for no key. */
const EMPTY_KEY = `${ESCAPE}-`;

// deno-lint-ignore no-control-regex
const ODD = /[\0\x1a\ud800-\udfff]/;
// With `u`, a surrogate of a pair is no character of its own.
// deno-lint-ignore no-control-regex
const ODD_CHARACTERS = /[\0\x1a\ud800-\udfff]/gu;
// deno-lint-ignore no-control-regex
const ESCAPED = /\x1a([0-9a-f]{4})/g;

export function toStored(text: string): string {
  return ODD.test(text) ? text.replace(ODD_CHARACTERS, escape) : text;
}

export function fromStored(stored: string): string {
  return stored.includes(ESCAPE) ? stored.replace(ESCAPED, unescape) : stored;
}

/** Keys stand in an index, where a NULL would be no value to look up by. */
export function keyToStored(key: string | null): string {
  if (key === null) return "";
  return key === "" ? EMPTY_KEY : toStored(key);
}

export function keyFromStored(stored: string): string | null {
  if (stored === "") return null;
  return stored === EMPTY_KEY ? "" : fromStored(stored);
}

function escape(character: string): string {
  return ESCAPE + character.charCodeAt(0).toString(16).padStart(4, "0");
}

function unescape(_: string, digits: string): string {
  return String.fromCharCode(parseInt(digits, 16));
}
