/**
 * Finds the imports of a JavaScript or TypeScript module whose names are literals in its text. The lexer separates words
 * and signs, so comments, strings, templates, regular expressions and the text of JSX never count as imports. The
 * runtime's own module graph cannot be used: a compiled executable has none. `task_files.ts` calls it.
 *
 * For a text that is no module the result can be anything. Such a text does not load, so the result has no effect.
 */

/** Words before a value: a slash after one begins a regular expression, and `<` begins JSX. */
const BEFORE_VALUE = new Set(
  ("return typeof instanceof in of new delete void throw case do else yield await extends default " +
    "if while for with switch").split(" "),
);
/** Words whose parentheses are no value: a slash after these begins a regular expression. */
const WITH_HEAD = new Set(["if", "while", "for", "with"]);
const SPACE = /[\s\ufeff]/;
const WORD_START = /[\p{ID_Start}$_#@\\]/u;
const WORD = /[\p{ID_Continue}$\u200c\u200d#@\\]*/uy;
const NUMBER = /[0-9][0-9a-zA-Z_.]*/y;
/** Type parameters of TypeScript in place of a value, which are no JSX. */
const TYPE_PARAMETERS = /<\s*(?:const\s+)?[\w$]+\s*(?:,|extends\s|=)/y;
/** The same in the form of an element without an end: `<T>(value: T) => …`. */
const FUNCTION_TYPE = /<\s*([\w$]+)\s*>\s*\(/y;
const NAME = /[\p{ID_Continue}$:.-]*/uy;

interface Token {
  /** `value`: a token that can stand before a division. `literal`: a string, or a template without `${`. */
  readonly kind: "word" | "literal" | "value" | "sign" | "end";
  readonly text: string;
}

/** Parts of JSX that hold names and strings, and no code. */
const TAGS = new Set<Open | undefined>(["tag", "types", "close"]);
const END: Token = { kind: "end", text: "" };

/** An open bracket: a block, an object, parentheses, `${` of a template, the tag or the content of an element. */
type Open =
  | "block"
  | "object"
  | "head"
  | "parens"
  | "brackets"
  | "template"
  | "tag"
  | "types"
  | "close"
  | "content"
  | "hole";

/** The names from which `text` imports, in their order, with repetitions. `jsx`: the text can contain JSX. */
export function findImports(text: string, { jsx }: { jsx: boolean }): string[] {
  // A shortcut for data, and for many other files.
  if (!/\b(?:import|from)\b/.test(text)) return [];
  const lexer = new Lexer(text, jsx);
  const found: string[] = [];
  /** Tokens read ahead; the next one is at `first`. */
  let ahead: Token[] = [];
  let first = 0;
  const peek = (at: number) => {
    while (ahead.length <= first + at) ahead.push(lexer.next());
    return ahead[first + at]!;
  };
  const next = () => {
    const token = peek(0);
    if (++first === ahead.length) [ahead, first] = [[], 0];
    return token;
  };
  let before = END;
  for (let token = next(); token.kind !== "end"; before = token, token = next()) {
    if (token.kind !== "word" || isSign(before, ".") || isSign(before, "?.")) continue;
    if (token.text === "import") {
      const call = isSign(peek(0), ".") && /^\.(defer|source)$/.test(peek(1).text) ? 2 : 0;
      if (isSign(peek(call), "(")) {
        // A computed name is known only to the runtime, which checks a permission for it.
        const [name, behind] = [peek(call + 1), peek(call + 2)];
        if (name.kind === "literal" && (isSign(behind, ")") || isSign(behind, ","))) {
          found.push(name.text);
        }
      } else if (peek(0).kind === "literal") found.push(peek(0).text);
      else if (!isSign(peek(0), ".")) takeClause(peek, found);
    } else if (token.text === "export") {
      const from = isWord(peek(0), "type") ? 1 : 0;
      if (isSign(peek(from), "*") || isSign(peek(from), "{")) takeClause(peek, found);
    }
  }
  return found;
}

/** Reads `a, { b as "c" } from "…"`, `* as a from "…"` or `a = require("…")`, up to the name or an unexpected token. */
function takeClause(peek: (at: number) => Token, found: string[]): void {
  let isInBraces = false;
  for (let at = 0;; at++) {
    const token = peek(at);
    if (isSign(token, isInBraces ? "}" : "{")) isInBraces = !isInBraces;
    else if (isSign(token, ",") || isInBraces && ["word", "literal"].includes(token.kind)) continue;
    else if (isSign(token, "=")) {
      const name = peek(at + 3);
      if (isWord(peek(at + 1), "require") && isSign(peek(at + 2), "(") && name.kind === "literal") {
        found.push(name.text);
      }
      return;
    } else if (isWord(token, "from") && peek(at + 1).kind === "literal") {
      found.push(peek(at + 1).text);
      return;
    } else if (isWord(token, "import") || isWord(token, "export")) return;
    else if (token.kind !== "word" && !isSign(token, "*")) return;
  }
}

function isSign(token: Token, text: string): boolean {
  return token.kind === "sign" && token.text === text;
}

function isWord(token: Token, text: string): boolean {
  return token.kind === "word" && token.text === text;
}

class Lexer {
  readonly #text: string;
  readonly #jsx: boolean;
  readonly #open: Open[] = [];
  #at = 0;
  #last: Token = END;
  /** A value can begin here, so a slash begins a regular expression. */
  #isValueNext = true;

  constructor(text: string, jsx: boolean) {
    this.#text = text;
    this.#jsx = jsx;
    if (text.startsWith("#!")) this.#skipLine();
  }

  next(): Token {
    const token = this.#open.at(-1) === "content" ? this.#content() : this.#code();
    this.#last = token;
    return token;
  }

  #code(): Token {
    const text = this.#text;
    for (;;) {
      const char = text[this.#at];
      if (char === undefined) return END;
      if (SPACE.test(char)) this.#at++;
      else if (text.startsWith("//", this.#at)) this.#skipLine();
      else if (text.startsWith("/*", this.#at)) this.#skipTo("*/");
      else break;
    }
    const char = text[this.#at]!;
    if (char === '"' || char === "'") return this.#string(char);
    if (TAGS.has(this.#open.at(-1))) return this.#tag(char);
    if (char === "`") return this.#template();
    if (/[0-9]/.test(char)) return this.#value(this.#match(NUMBER));
    const point = String.fromCodePoint(text.codePointAt(this.#at)!);
    if (WORD_START.test(point)) return this.#word();
    if (this.#isValueNext && char === "/") return this.#regExp();
    if (char === "<" && this.#isValueNext && this.#jsx && this.#isElement()) return this.#element();
    return this.#sign(char);
  }

  #word(): Token {
    const start = this.#at;
    WORD.lastIndex = start;
    WORD.test(this.#text);
    this.#at = Math.max(WORD.lastIndex, start + 1);
    const text = this.#text.slice(start, this.#at);
    const isName = this.#last.kind === "sign" && /^\??\.$/.test(this.#last.text);
    this.#isValueNext = BEFORE_VALUE.has(text) && !isName;
    return { kind: "word", text: isName ? `.${text}` : text };
  }

  #sign(char: string): Token {
    const text = this.#text;
    const sign = ["...", "?.", "=>", "++", "--"].find((each) => text.startsWith(each, this.#at)) ??
      char;
    this.#at += sign.length;
    const wasValueNext = this.#isValueNext;
    this.#isValueNext = true;
    if (sign === "(") {
      const { kind, text: word } = this.#last;
      this.#open.push(kind === "word" && WITH_HEAD.has(word) ? "head" : "parens");
    } else if (sign === "[") this.#open.push("brackets");
    else if (sign === "{") this.#open.push(this.#isObject(wasValueNext) ? "object" : "block");
    // After a value these do not apply to the next one; `!` is the assertion of TypeScript.
    else if (sign === "++" || sign === "--" || sign === "!" && !wasValueNext) {
      this.#isValueNext = wasValueNext;
    } else if (sign === ")" || sign === "]" || sign === "}") return this.#close(sign);
    return { kind: "sign", text: sign };
  }

  /** Whether `{` begins an object and not a block: after a block a value can begin, an object is a value itself. */
  #isObject(wasValueNext: boolean): boolean {
    const { kind, text } = this.#last;
    if (kind === "word") {
      return ["return", "typeof", "yield", "await", "case", "in", "of"].includes(text);
    }
    return wasValueNext && kind === "sign" && !["=>", ";", "}", "{", ")"].includes(text);
  }

  #close(sign: string): Token {
    const open = this.#open.pop();
    if (open === "template") return this.#templateRest();
    // The end of code in an element: its tag or content goes on.
    if (open !== "hole") this.#isValueNext = open === "head" || open === "block";
    return { kind: "sign", text: sign };
  }

  #string(quote: string): Token {
    const start = ++this.#at;
    const text = this.#text;
    const isAttribute = this.#open.at(-1) === "tag";
    while (this.#at < text.length && text[this.#at] !== quote) {
      // A string that does not end in its line is none: the next lines must not count as its text.
      if (text[this.#at] === "\n" && !isAttribute) break;
      this.#at += text[this.#at] === "\\" && !isAttribute ? 2 : 1;
    }
    return this.#literal(text.slice(start, this.#at++));
  }

  #literal(raw: string): Token {
    this.#isValueNext = false;
    return { kind: "literal", text: unescape(raw) };
  }

  #value(text: string): Token {
    this.#isValueNext = false;
    return { kind: "value", text };
  }

  #template(): Token {
    const start = ++this.#at;
    return this.#skipTemplate()
      ? this.#literal(this.#text.slice(start, this.#at - 1))
      : this.#hole();
  }

  #templateRest(): Token {
    return this.#skipTemplate() ? this.#value("`") : this.#hole();
  }

  #hole(): Token {
    this.#open.push("template");
    this.#isValueNext = true;
    return { kind: "sign", text: "${" };
  }

  /** Reads up to the end of a template, or to the next `${`. Returns whether it was the end. */
  #skipTemplate(): boolean {
    const text = this.#text;
    while (this.#at < text.length) {
      if (text[this.#at] === "`") {
        this.#at++;
        return true;
      }
      if (text.startsWith("${", this.#at)) {
        this.#at += 2;
        return false;
      }
      this.#at += text[this.#at] === "\\" ? 2 : 1;
    }
    return true;
  }

  #regExp(): Token {
    const text = this.#text;
    let isInClass = false;
    for (this.#at++; this.#at < text.length && text[this.#at] !== "\n"; this.#at++) {
      const char = text[this.#at];
      if (char === "\\") this.#at++;
      else if (char === "[") isInClass = true;
      else if (char === "]") isInClass = false;
      else if (char === "/" && !isInClass) {
        this.#at++;
        break;
      }
    }
    return this.#value("/");
  }

  // JSX: text between tags, code in braces.

  #isElement(): boolean {
    TYPE_PARAMETERS.lastIndex = FUNCTION_TYPE.lastIndex = this.#at;
    if (TYPE_PARAMETERS.test(this.#text)) return false;
    const [, name] = FUNCTION_TYPE.exec(this.#text) ?? [];
    return name === undefined || this.#text.includes(`</${name}`, this.#at);
  }

  #element(): Token {
    this.#at++;
    this.#open.push("tag");
    this.#isValueNext = false;
    return { kind: "sign", text: "<" };
  }

  #tag(char: string): Token {
    const text = this.#text;
    const open = this.#open.at(-1);
    if (char === "{") {
      this.#at++;
      this.#open.push("hole");
      this.#isValueNext = true;
    } else if (char === "<") {
      this.#at++;
      this.#open.push("types");
    } else if (char === ">") {
      this.#at++;
      this.#open.pop();
      if (open === "tag") this.#open.push("content");
      else if (this.#open.at(-1) === "content") this.#open.pop();
      this.#isValueNext = false;
    } else if (char === "/" && text[this.#at + 1] === ">") {
      this.#at += 2;
      this.#open.pop();
      this.#isValueNext = false;
    } else {
      NAME.lastIndex = this.#at;
      NAME.test(text);
      this.#at = Math.max(NAME.lastIndex, this.#at + 1);
    }
    return { kind: "value", text: "<>" };
  }

  #content(): Token {
    const text = this.#text;
    while (this.#at < text.length && text[this.#at] !== "<" && text[this.#at] !== "{") this.#at++;
    const char = text[this.#at];
    if (char === undefined) return END;
    this.#at++;
    if (char === "{") {
      this.#open.push("hole");
      this.#isValueNext = true;
    } else if (text[this.#at] === "/") {
      this.#at++;
      this.#open.push("close");
    } else this.#open.push("tag");
    return { kind: "value", text: "<>" };
  }

  #match(pattern: RegExp): string {
    const start = this.#at;
    pattern.lastIndex = start;
    pattern.test(this.#text);
    this.#at = Math.max(pattern.lastIndex, start + 1);
    return this.#text.slice(start, this.#at);
  }

  #skipLine(): void {
    const end = this.#text.indexOf("\n", this.#at);
    this.#at = end < 0 ? this.#text.length : end;
  }

  #skipTo(mark: string): void {
    const end = this.#text.indexOf(mark, this.#at + 2);
    this.#at = end < 0 ? this.#text.length : end + mark.length;
  }
}

/** The value of a string literal: `"./\u0061.ts"` is `./a.ts`. */
function unescape(raw: string): string {
  if (!raw.includes("\\")) return raw;
  return raw.replace(
    /\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|\r?\n|([^]))/g,
    (_, braced, four, two, other) => {
      const code = braced ?? four ?? two;
      if (code !== undefined) {
        const point = parseInt(code, 16);
        return point <= 0x10ffff ? String.fromCodePoint(point) : "";
      }
      const plain: Record<string, string> = {
        n: "\n",
        t: "\t",
        r: "\r",
        b: "\b",
        f: "\f",
        v: "\v",
      };
      return other === undefined ? "" : Object.hasOwn(plain, other) ? plain[other]! : other;
    },
  );
}
