/** System calls as `strace -f -y -xx` prints them: two lines where another thread came between. */

export interface SystemCall {
  readonly name: string;
  /** The file or socket that its first argument stands for. */
  readonly path: string;
  /** The bytes that it writes, as Latin-1; empty where it writes none. */
  readonly data: string;
  /** Where it began and ended, in lines of the trace. */
  readonly from: number;
  readonly to: number;
  /** What it returned; bytes written, or 0. */
  readonly result: number;
}

interface Begun {
  readonly name: string;
  readonly path: string;
  readonly data: string;
  readonly from: number;
}

const ARGUMENTS = /^(\d+) +(\w+)\(\d+<([^>]*)>(.*)$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/;
const RESULT = /\) += (-?\d+)[^"]*$/;

/** What a trace says, line by line. */
export class TraceReader {
  readonly #begun = new Map<string, Begun>();
  #line = 0;

  /** Calls that began with this line or before; `undefined` while it says nothing of interest. */
  begun(line: string): Begun | undefined {
    this.#line++;
    const [, thread = "", name = "", path = "", rest = ""] = ARGUMENTS.exec(line) ?? [];
    if (name === "") return undefined;
    const call = { name, path: unhex(path), data: dataOf(rest), from: this.#line };
    this.#begun.set(thread, call);
    return call;
  }

  /** The call that this line ends; ask after `begun`. */
  ended(line: string): SystemCall | undefined {
    const thread = RESUMED.exec(line)?.[1] ?? ARGUMENTS.exec(line)?.[1];
    const result = RESULT.exec(line.slice(-200))?.[1];
    if (thread === undefined || result === undefined) return undefined;
    const call = this.#begun.get(thread);
    this.#begun.delete(thread);
    return call && { ...call, to: this.#line, result: Number(result) };
  }
}

/** All strings of a call in one: `writev` has several. */
function dataOf(text: string): string {
  return [...text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = ""]) => unhex(hex)).join("");
}

function unhex(text: string): string {
  const digits = text.replaceAll("\\x", "");
  let bytes = "";
  for (let at = 0; at < digits.length; at += 2) {
    bytes += String.fromCharCode(parseInt(digits.slice(at, at + 2), 16));
  }
  return bytes;
}
