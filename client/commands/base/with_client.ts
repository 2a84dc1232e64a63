/**
 * The frame of every command that speaks to a server: connect, do it, close; and on Ctrl-C say what
 * goes on without the client, and end.
 */

import { ClientError } from "../../../net/client_error.ts";
import { inLanguage } from "../../../cli/language.ts";
import { type ServerFlagValues, targetOf } from "../../../cli/server_flags.ts";
import { write } from "../../../cli/talk.ts";
import { formatTarget, type Target } from "../../../net/target.ts";
import { type Client, connect, type ConnectOptions } from "../../client.ts";
import { MESSAGES } from "./messages.ts";
import { talk } from "./output.ts";

export interface Frame {
  flags: ServerFlagValues & { json: boolean };
  /** What goes on at the server when the client leaves now; `undefined` where nothing does. */
  unfinished?: () => string | undefined;
  /** Called on the first Ctrl-C: true where `use` now comes to its end by itself, soon. */
  drain?: () => boolean;
  /** Connect again when the connection is lost, and say so; default: its loss ends the command. */
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
  // Nobody may be waiting for it any more.
  interrupt.promise.catch(() => undefined);
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    const connecting = connect(target, frame.reconnects ? telling(target) : { reconnectMs: 0 });
    await using client = await Promise.race([connecting, interrupt.promise]);
    isConnected = true;
    return await Promise.race([use(client), interrupt.promise]);
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
  }
}

function telling(target: Target): ConnectOptions {
  const messages = inLanguage(MESSAGES);
  return {
    onLost: () => talk(messages.connectionLost(formatTarget(target))),
    onBack: () => talk(messages.connectedAgain),
  };
}

/** The error of a command that Ctrl-C has ended; says what goes on. */
export function interrupted({ flags, unfinished }: Frame): ClientError {
  const hint = unfinished?.();
  if (!flags.json) {
    // The terminal has just written ^C.
    if (Deno.stderr.isTerminal()) write("stderr", "\n");
    if (hint) talk(hint);
  }
  return new ClientError("interrupted", "interrupted", { hint });
}
