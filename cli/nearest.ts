/** The known word that a mistyped one is close to. Used for flags, commands, choices and ops. */

import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";

/** The member of `known` that is most like `word`; `undefined` if none is close. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const closest = closestString(word, known);
  const distance = levenshteinDistance(word.toLowerCase(), closest.toLowerCase());
  // Two wrong letters make another word of a short one; a long word allows three.
  const slips = word.length <= 3 ? 1 : word.length <= 8 ? 2 : 3;
  return distance <= slips ? closest : undefined;
}
