/**
 * The signals that ask a long-running program to stop. A signal that was ignored at the start (by `nohup`, or by a
 * script that runs the program in the background) stays ignored. The handlers of the runtime would hide that, so
 * the ignored signals are looked up before the first handler is installed.
 */

/** Signals that a shell or `nohup` can make a program ignore, and their numbers on Linux. */
const CATCHABLE: ReadonlyMap<Deno.Signal, number> = new Map([["SIGHUP", 1], ["SIGINT", 2]]);

const STOP_SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

export class StopSignals {
  /** Signals that were ignored at the start, as bits; `undefined` if unknown. */
  readonly #ignored: Promise<number | undefined>;
  readonly #hasTerminal = hasTerminal();

  /** Must be called before any listener is added and any thread is started. */
  constructor() {
    this.#ignored = ignoredNow();
  }

  /** Calls `onSignal` for each signal that asks to stop; returns a function that removes the listeners. */
  listen(onSignal: (signal: Deno.Signal) => void): () => void {
    const listeners = STOP_SIGNALS.map((signal) => {
      const listener = () => {
        void this.#isMeant(signal).then((isMeant) => {
          if (isMeant) onSignal(signal);
        });
      };
      Deno.addSignalListener(signal, listener);
      return () => Deno.removeSignalListener(signal, listener);
    });
    return () => listeners.forEach((remove) => remove());
  }

  async #isMeant(signal: Deno.Signal): Promise<boolean> {
    const number = CATCHABLE.get(signal);
    if (number === undefined) return true;
    const ignored = await this.#ignored;
    if (ignored !== undefined) return (ignored >> (number - 1) & 1) === 0;
    return signal !== "SIGHUP" || this.#hasTerminal;
  }
}

/** Makes a command without a terminal ignore the end of a terminal. */
export function outliveTerminal(): void {
  if (Deno.build.os === "windows" || hasTerminal()) return;
  Deno.addSignalListener("SIGHUP", () => undefined);
}

/** `nohup` redirects stdout and stderr; only on Linux does it redirect stdin as well. */
function hasTerminal(): boolean {
  const { stdin, stdout, stderr } = Deno;
  const isTyped = Deno.build.os === "linux" && stdin.isTerminal();
  return isTyped || stdout.isTerminal() || stderr.isTerminal();
}

/** The signals that this process ignores, read in a child, which inherits them. The runtime does not report them. */
async function ignoredNow(): Promise<number | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  try {
    const command = new Deno.Command("cat", {
      args: ["/proc/self/status"],
      stdin: "null",
      stderr: "null",
    });
    const { stdout } = await command.output();
    const [, digits] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(new TextDecoder().decode(stdout)) ?? [];
    // The low bits: signals 1 to 28.
    return digits === undefined ? undefined : parseInt(digits.slice(-7), 16);
  } catch {
    // There is no `cat`.
    return undefined;
  }
}
