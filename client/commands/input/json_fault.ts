/**
 * Finds the place of a fault in JSON, and the text that is expected there. `JSON.parse` names the place of some faults
 * only. At a shell prompt, where the shell removes quotes, every fault needs a place.
 */

/** The first fault of a text. */
interface JsonFault {
  /** Number of characters before the fault. */
  offset: number;
  /** The expected text: `"a name in double quotes"`. */
  expected: string;
}

const SPACE = /[ \t\n\r]*/y;
// Runs of plain characters match in one step: a string can be a megabyte long.
// deno-lint-ignore no-control-regex
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.])/y;

/** The first fault of `text`; `undefined` if it is JSON. The caller must limit nesting first. */
export function findJsonFault(text: string): JsonFault | undefined {
  const scanner = new Scanner(text);
  const fault = scanner.value();
  if (fault) return fault;
  return scanner.atEnd() ? undefined : scanner.expected("the end of the text");
}

class Scanner {
  #at = 0;

  constructor(readonly text: string) {}

  value(): JsonFault | undefined {
    this.#match(SPACE);
    switch (this.text[this.#at]) {
      case "{":
        return this.#members("}", () => this.#member());
      case "[":
        return this.#members("]", () => this.value());
      case '"':
        return this.#match(STRING) ? undefined : this.expected("a string with its closing quote");
    }
    return this.#match(SCALAR) ? undefined : this.expected("a value");
  }

  atEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.text.length;
  }

  expected(what: string): JsonFault {
    return { offset: this.#at, expected: what };
  }

  #members(close: string, member: () => JsonFault | undefined): JsonFault | undefined {
    this.#at++;
    this.#match(SPACE);
    if (this.#take(close)) return undefined;
    for (;;) {
      const fault = member();
      if (fault) return fault;
      this.#match(SPACE);
      if (this.#take(close)) return undefined;
      if (!this.#take(",")) return this.expected(`"," or "${close}"`);
    }
  }

  #member(): JsonFault | undefined {
    this.#match(SPACE);
    if (!this.#match(STRING)) return this.expected("a name in double quotes");
    this.#match(SPACE);
    return this.#take(":") ? this.value() : this.expected('":"');
  }

  #take(char: string): boolean {
    if (this.text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.text)) return false;
    this.#at = pattern.lastIndex;
    return true;
  }
}
