/** What ends the server and what does not: the first signal asks it to, the second does not ask, a stray fault does neither. */

import type { StopSignals } from "../cli/stop_signals.ts";
import { flushTalk } from "../cli/talk.ts";

/** What a shell says of a program that a signal ended: 128 and the signal's number. */
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
 * A rejection that nothing awaits is a bug of sd, in the service of one client or one task. By default the runtime would
 * end the process for it, and all others with it: it is reported instead, to be logged. Until what is returned is disposed of.
 */
export function surviveStrayRejections(report: (reason: unknown) => void): Disposable {
  const survive = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    report(event.reason);
  };
  addEventListener("unhandledrejection", survive);
  return { [Symbol.dispose]: () => removeEventListener("unhandledrejection", survive) };
}
