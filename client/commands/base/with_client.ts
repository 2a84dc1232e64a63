/**
 * The frame of every command that connects to a server: connect, work, close. On Ctrl-C, and when its time is over,
 * it says which tasks go on without the client.
 */

import { deadline } from "@std/async/deadline";
import { inLanguage } from "../../../cli/messages.ts";
import { type ServerFlagValues, targetOf } from "../../../cli/server_flags.ts";
import { write } from "../../../cli/talk.ts";
import { ClientError } from "../../../net/client_error.ts";
import { GRACE_MS, LATE_MS } from "../../../net/awake_clock.ts";
import { formatTarget, type Target } from "../../../net/target.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { rawOf } from "../../server_client.ts";
import { type Client, connect, type ConnectOptions } from "../../client.ts";
import { TASK_MESSAGES } from "./messages.ts";
import { talk } from "./output.ts";

interface Frame {
  flags: ServerFlagValues & { json: boolean };
  /** Names the tasks that go on at the server if the client leaves now; `undefined` if there are none. */
  unfinished?: () => string | undefined;
  /** Called on the first Ctrl-C: returns true if `use` now ends by itself, soon. */
  drain?: () => boolean;
  /** Connect again after a lost connection, and say so; by default a lost connection ends the command. */
  reconnects?: boolean;
}

/** Runs `use` with a client of the server that the flags name. Throws `interrupted` on Ctrl-C. */
export async function withClient<T>(frame: Frame, use: (client: Client) => Promise<T>): Promise<T> {
  const target = targetOf(frame.flags);
  const interrupt = Promise.withResolvers<never>();
  let isConnected = false;
  let isDraining = false;
  const onInterrupt = () => {
    if (isConnected && !isDraining && frame.drain?.()) isDraining = true;
    else interrupt.reject(interrupted(frame));
  };
  // It can reject after `use` has ended.
  interrupt.promise.catch(() => undefined);
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    const options = frame.reconnects ? reportingLoss(target) : { reconnectMs: 0 };
    await using client = await Promise.race([connect(target, options), interrupt.promise]);
    isConnected = true;
    return await Promise.race([use(client), interrupt.promise]);
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
  }
}

function reportingLoss(target: Target): ConnectOptions {
  const messages = inLanguage(TASK_MESSAGES);
  return {
    onLost: () => talk(messages.connectionLost(formatTarget(target))),
    onBack: () => talk(messages.connectedAgain),
  };
}

/** The error of a command that Ctrl-C has ended; prints which tasks go on. */
export function interrupted({ flags, unfinished }: Frame): ClientError {
  const hint = unfinished?.();
  if (!flags.json) {
    // The terminal has just written ^C.
    if (Deno.stderr.isTerminal()) write("stderr", "\n");
    if (hint) talk(hint);
  }
  return new ClientError("interrupted", "interrupted", { hint });
}

/** The result of `promise`; after `ms` it throws `late()` instead. `Infinity` waits for ever. */
export async function within<T>(
  promise: Promise<T>,
  { ms, late }: { ms: number; late: () => Error },
): Promise<T> {
  if (ms === Infinity) return await promise;
  const begun = performance.now();
  try {
    return await deadline(promise, ms);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "TimeoutError") throw error;
    if (performance.now() - begun < ms + LATE_MS) throw late();
    // This process stood still: a reply that has arrived meanwhile must be read first.
    return await within(promise, { ms: GRACE_MS, late });
  }
}

/** The error of a command whose `waitMs` are over; `what` is missing. A lost connection is named as the cause. */
export function outOfTime(
  client: Client,
  { waitMs, what, hint }: { waitMs: number; what: string; hint: string | undefined },
): ClientError {
  const messages = inLanguage(TASK_MESSAGES);
  const after = messages.after(what, formatDuration(waitMs));
  const { lostBy } = rawOf(client);
  if (!lostBy) return new ClientError("timed_out", after, { hint });
  const message = `${after}, ${messages.noConnection(client.target)}: ${lostBy.message}`;
  return new ClientError("unreachable", message, { cause: lostBy, hint });
}
