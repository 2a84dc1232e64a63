/**
 * Which signals ask a program that runs on to stop. One that was ignored when it started (by `nohup`, or by a
 * script that runs it in the background) stays ignored: the runtime installs handlers of its own, which lose that, so
 * it is looked up before the first of them is.
 */

/** Those that a shell or `nohup` lets a program ignore, and their numbers on Linux. */
const CATCHABLE: ReadonlyMap<Deno.Signal, number> = new Map([["SIGHUP", 1], ["SIGINT", 2]]);

export const STOP_SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

export class StopSignals {
  /** Signals that were ignored, as bits; `undefined`: not known. */
  readonly #ignored: Promise<number | undefined>;
  readonly #hasTerminal = hasTerminal();

  /** Call it before anything adds a listener or starts a thread. */
  constructor() {
    this.#ignored = ignoredNow();
  }

  /** Calls `onSignal` for each that asks to stop; returns what takes that back. */
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

/** Of a command that ends by itself: without a terminal, the end of one is none of its business. */
export function outliveTerminal(): void {
  if (Deno.build.os === "windows" || hasTerminal()) return;
  Deno.addSignalListener("SIGHUP", () => undefined);
}

/** `nohup` leaves no output on the terminal; only on Linux does it take stdin away as well. */
function hasTerminal(): boolean {
  const { stdin, stdout, stderr } = Deno;
  const isTyped = Deno.build.os === "linux" && stdin.isTerminal();
  return isTyped || stdout.isTerminal() || stderr.isTerminal();
}

/** A child ignores what its parent ignored; of its own process the runtime does not say it. */
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
    // The low bits: those of the signals below 29.
    return digits === undefined ? undefined : parseInt(digits.slice(-7), 16);
  } catch {
    // There is no such program.
    return undefined;
  }
}
