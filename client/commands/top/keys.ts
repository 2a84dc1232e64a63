/** From what a terminal in raw mode sends to keys. Pure. */

export type Key =
  | "up"
  | "down"
  | "page_up"
  | "page_down"
  | "home"
  | "end"
  | "enter"
  | "escape"
  | "backspace"
  | "interrupt"
  /** What was typed: one character. */
  | { readonly char: string };

/** How terminals write the keys that are no character. */
const SEQUENCES: ReadonlyMap<string, Key> = new Map<string, Key>([
  ["\x1b[A", "up"],
  ["\x1bOA", "up"],
  ["\x1b[B", "down"],
  ["\x1bOB", "down"],
  ["\x1b[5~", "page_up"],
  ["\x1b[6~", "page_down"],
  ["\x1b[H", "home"],
  ["\x1bOH", "home"],
  ["\x1b[1~", "home"],
  ["\x1b[F", "end"],
  ["\x1bOF", "end"],
  ["\x1b[4~", "end"],
  ["\r", "enter"],
  ["\n", "enter"],
  ["\x1b", "escape"],
  ["\x7f", "backspace"],
  ["\b", "backspace"],
  ["\x03", "interrupt"],
]);

/** A sequence, known or not, or one character. */
// deno-lint-ignore no-control-regex
const PIECE = /\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[A-Za-z]|[^]/gu;

/** The keys in `text`, what one read brought; what means nothing here is left out. */
export function readKeys(text: string): Key[] {
  return [...text.matchAll(PIECE)].flatMap(([piece]) => {
    const key = SEQUENCES.get(piece);
    if (key !== undefined) return [key];
    // deno-lint-ignore no-control-regex
    return /^[\x00-\x1f\x7f]/.test(piece) ? [] : [{ char: piece }];
  });
}
