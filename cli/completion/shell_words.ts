/** The words of a command line as a POSIX shell reads them: quotes and backslashes, no expansion. */

/** The words typed so far. The last one is under the cursor, and empty after a space. */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    const char = line[i] ?? "";
    if (quote !== "") {
      const isEscape = quote === '"' && char === "\\" && /["\\$`]/.test(line[i + 1] ?? "");
      if (char === quote) quote = "";
      else word = `${word ?? ""}${isEscape ? line[++i] : char}`;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (char === "\\" && i + 1 < line.length) {
      word = `${word ?? ""}${line[++i]}`;
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = `${word ?? ""}${char}`;
    }
  }
  return [...words, word ?? ""];
}

/** `word`, quoted for a shell if it needs quotes. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
