/**
 * Texts as stores keep them. SQLite cuts text off at U+0000 when it is read, PostgreSQL refuses it, and neither keeps a lone
 * surrogate. So these, and the escape character itself, are stored as the escape and four hexadecimal digits. Different
 * texts stay different.
 */

const ESCAPE = "\x1a";
/** The empty key; the empty text stands for no key. It is never the text of an escape. */
const EMPTY_KEY = `${ESCAPE}-`;

// deno-lint-ignore no-control-regex
const ODD = /[\0\x1a\ud800-\udfff]/;
// With `u`, a surrogate of a pair does not match by itself.
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

/** A key as it is in an index, in which NULL cannot be looked up. */
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
