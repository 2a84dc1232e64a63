/** What somebody who mistyped a word may have meant: flags, commands and choices ask. */

import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** The one of `known` that `word` is a likely typo of; `undefined` where nothing is close. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const closest = closestString(word, known);
  const distance = levenshteinDistance(word.toLowerCase(), closest.toLowerCase());
  // Two slips in a short word make it another word; a long one bears three.
  const slips = word.length <= 3 ? 1 : word.length <= 8 ? 2 : 3;
  return distance <= slips ? closest : undefined;
}
