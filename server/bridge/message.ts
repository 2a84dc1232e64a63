/**
 * Messages as the bridge knows them, whatever server delivered them: RabbitMQ, NATS, or a table of the store. Each kind of
 * message server has a file that makes a `MessageLink`; all others of this room work with these shapes alone.
 */

import type { SdError } from "../../protocol/errors.ts";

/** Time until a refused message that could not be put aside is tried again, in ms. */
export const DEAD_RETRY_MS = 1000;
/** Longest reason in the header of a refused message. */
export const MAX_REASON_CHARS = 1000;

/** A message that asks for a task. It stays with its message server until one of its two methods is called. */
export interface Delivery {
  /** The id of its task, if the message has one. */
  readonly id: string | undefined;
  /** The submit, in JSON. */
  readonly body: Uint8Array | string;
  /** Address of the end, as `NewTask.route` keeps it; `undefined` if no end is asked for. */
  readonly route: string | undefined;
  /** It was delivered before. */
  readonly isRepeated: boolean;
  /** Its task is committed: removes it from its message server. */
  taken(): void;
  /** It will never be a task: puts it where an operator finds it, with the reason. */
  refused(reason: SdError): void;
}

/** The end of a task, on its way to the address in its route. */
export interface Reply {
  readonly route: string;
  /** The final line of the wire, without its newline. */
  readonly body: string;
  /** Equal for the same end, published again. */
  readonly key: string;
}

/**
 * The fate of a reply. `sent`: its message server has it. `nowhere`: its address does not exist any more. `refused`: the
 * message server has no room for it now.
 */
export type ReplyFate = "sent" | "nowhere" | "refused";

/** An open connection to a message server. */
export interface MessageLink {
  /** Resolves with the reason once the connection is lost, or closed. */
  readonly lost: Promise<string>;
  /** Stops new deliveries; a few can still come. */
  pause(): void;
  resume(): void;
  /** Publishes replies in their order; rejects if the connection is lost before the fate of each is known. */
  publish(replies: readonly Reply[]): Promise<ReplyFate[]>;
  /** Messages that are neither taken nor refused go back to their message server. */
  close(): Promise<void>;
}

/** Opens connections to one message server. */
export interface MessageServer {
  /**
   * Connects, checks or creates what it needs there, and passes each delivery to `deliver`. Rejects with a sentence for
   * the operator.
   */
  open(deliver: (delivery: Delivery) => void): Promise<MessageLink>;
}

/** The state of an intake in `stats`, and its counts since the server began to lead. */
export interface IntakeCounts {
  /** Messages whose tasks are committed. */
  taken: number;
  /** Messages that were refused. */
  rejected: number;
  /** Ends that were published. */
  replied: number;
  /** Ends whose address does not exist any more. */
  dropped: number;
}

/** Text of an error for a log line: its message on one line, cut at 300 characters. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, " ").slice(0, 300);
}
