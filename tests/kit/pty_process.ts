/**
 * A command on a terminal of its own, for tests of what people see: keys in, the screen out. Python's
 * standard library makes the terminal; where there is no Python, such tests are left out.
 */

import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import { ScreenReader } from "./screen_reader.ts";

const PATIENCE_MS = 60_000;
const LOOK_MS = 10;

/** Lines on stdin are orders in JSON; what the terminal shows goes to stdout as it comes. */
const PYTHON = `
import fcntl, json, os, pty, select, struct, sys, termios
def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
rows, columns = int(sys.argv[1]), int(sys.argv[2])
pid, fd = pty.fork()
if pid == 0:
    os.read(0, 1)
    os.execvp(sys.argv[3], sys.argv[3:])
resize(fd, rows, columns)
os.write(fd, b"\\n")
orders = b""
while True:
    ready, _, _ = select.select([fd, 0], [], [])
    if fd in ready:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        os.write(1, data)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            os.close(fd)
            break
        *lines, orders = (orders + data).split(b"\\n")
        for line in lines:
            order = json.loads(line)
            if "keys" in order:
                os.write(fd, order["keys"].encode())
            else:
                resize(fd, *order["size"])
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
`;

export const hasPython = await works("python3", ["-c", "import pty, termios"]);

export class PtyProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reading: Promise<void>;
  readonly #errors: Promise<string>;
  readonly screen: ScreenReader;
  /** Everything that it wrote. */
  text = "";
  #isOver = false;

  private constructor(child: Deno.ChildProcess, size: readonly [rows: number, columns: number]) {
    this.#child = child;
    this.#orders = child.stdin.getWriter();
    this.screen = new ScreenReader(...size);
    this.#reading = this.#read();
    this.#errors = new Response(child.stderr).text();
  }

  /** Runs `script` in a shell on a terminal of that size. */
  static start(
    script: string,
    { env = {}, size = [24, 80] }: {
      env?: Record<string, string>;
      size?: readonly [rows: number, columns: number];
    } = {},
  ): PtyProcess {
    const args = ["-c", PYTHON, String(size[0]), String(size[1]), "sh", "-c", script];
    const child = new Deno.Command("python3", {
      args,
      env: { TERM: "xterm-256color", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new PtyProcess(child, size);
  }

  async type(keys: string): Promise<void> {
    await this.#order({ keys });
  }

  async resize(rows: number, columns: number): Promise<void> {
    this.screen.resize(rows, columns);
    await this.#order({ size: [rows, columns] });
  }

  /** Resolves once the screen shows `what`; with `isGone`, once it does not. */
  async shows(what: string | RegExp, { isGone = false } = {}): Promise<void> {
    const fits = () =>
      (typeof what === "string" ? this.screen.text.includes(what) : what.test(this.screen.text)) !==
        isGone;
    const until = performance.now() + PATIENCE_MS;
    while (!fits()) {
      if (performance.now() > until || this.#isOver) {
        const rest = this.#isOver ? `; it has ended: ${await this.#errors}` : "";
        throw new Error(`the screen never showed ${what}${rest}:\n${this.screen.text}`);
      }
      await delay(LOOK_MS);
    }
  }

  /** Its exit code. */
  async status(): Promise<number> {
    const { code } = await deadline(this.#child.status, PATIENCE_MS);
    await this.#reading;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The end of its terminal ends what runs there.
    await this.#orders.close().catch(() => undefined);
    await this.status();
    await this.#errors;
  }

  async #order(order: unknown): Promise<void> {
    await this.#orders.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      const text = decoder.decode(chunk, { stream: true });
      this.text += text;
      this.screen.write(text);
    }
    this.#isOver = true;
  }
}

async function works(program: string, args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args }).output()).success;
  } catch {
    return false;
  }
}
