/** Finds the line of a task file in which its top level may wait or loop for ever. A guess, from the text alone. */

/** Comments, strings and templates, which hold anything; then what matters, a statement in the first column too. */
const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|[{}()[\];]|=>|\n(?=\w)|(?<![.\w])(?:await|while|for|do)\b/g;

/** The number of the first line that awaits or loops outside of every function; `undefined` where none does. */
export function firstWait(text: string): number | undefined {
  let braces = 0;
  // Of each open bracket, whether it stands in an arrow function without braces, which ends with it.
  let inArrow = [false];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token === "{") braces++;
    else if (token === "}") braces--;
    else if (braces > 0) continue;
    else if (token === "(" || token === "[") inArrow.push(inArrow.at(-1) ?? false);
    else if (token === ")" || token === "]") inArrow.pop();
    else if (token === "=>") inArrow.splice(-1, 1, true);
    else if (token === ";" || token === "\n") inArrow = [false];
    else if (/^[a-z]/.test(token) && !inArrow.at(-1)) {
      return text.slice(0, index).split("\n").length;
    }
  }
  return undefined;
}
