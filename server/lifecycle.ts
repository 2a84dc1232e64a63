/**
 * Signals and stray rejections of the server process. The first signal stops the server in order, the second ends the
 * process at once, and a stray rejection is logged and ends nothing. `serve.ts` uses both.
 */

import type { StopSignals } from "../cli/stop_signals.ts";
import { flushTalk } from "../cli/talk.ts";

/** Exit codes of a process that a signal ended, as in shells: 128 and the number of the signal. */
const EXIT_CODES: Partial<Record<Deno.Signal, number>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
  SIGBREAK: 149,
};

/** Resolves with the first of `signals`. Any later one runs `onSecond` and ends the process. */
export function untilStopSignal(
  signals: StopSignals,
  onSecond: () => void,
): Promise<Deno.Signal> {
  return new Promise((resolve) => {
    let stopping = false;
    signals.listen((signal) => {
      if (stopping) {
        onSecond();
        return void flushTalk().finally(() => Deno.exit(EXIT_CODES[signal] ?? 1));
      }
      stopping = true;
      resolve(signal);
    });
  });
}

/**
 * Reports promise rejections that no code awaits, until the returned object is disposed of. Such a rejection is a bug of
 * sd that concerns one client or one task. By default the runtime would end the process, and so all others.
 */
export function surviveStrayRejections(report: (reason: unknown) => void): Disposable {
  const survive = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    report(event.reason);
  };
  addEventListener("unhandledrejection", survive);
  return { [Symbol.dispose]: () => removeEventListener("unhandledrejection", survive) };
}
