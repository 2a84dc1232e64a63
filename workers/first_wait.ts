/** Finds the line of a task file in which its top level may wait or loop for ever. A guess, from the text alone. */

/** Comments, strings and templates, which hold anything; then what matters. */
const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|[{}()]|\b(?:await|while|for|do)\b/g;

/** The number of the first line that awaits or loops outside of every function; `undefined` where none does. */
export function firstWait(text: string): number | undefined {
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === "{" || token === "(") depth++;
    else if (token === "}" || token === ")") depth--;
    else if (depth === 0 && /^[a-z]/.test(token)) return text.slice(0, index).split("\n").length;
  }
  return undefined;
}
