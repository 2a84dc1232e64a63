/** One message from the side of whoever waits for its replies. Held by the connection until the last. */

import type { JsonObject } from "../../protocol/message.ts";

export interface Exchange {
  /** Takes a reply; true when it was the last one. */
  take(reply: JsonObject): boolean;
  fail(error: Error): void;
  /**
   * The text to send on a new connection, where the one that the message was sent on is lost;
   * `undefined`: nothing, and the exchange fails. Without this method the same text is sent again.
   */
  again?(): string | undefined;
}
