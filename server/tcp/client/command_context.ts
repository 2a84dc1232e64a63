/** What a connection has for its commands beside one answer each: watches, parts of an import, a way to send more. */

import type { Ref } from "../../../protocol/message.ts";
import type { Watchers } from "../../task/watchers.ts";
import { ImportParts } from "./import_parts.ts";
import type { Outbox } from "../socket/outbox.ts";
import { objectLine } from "../socket/replies.ts";
import { Watches } from "./watches.ts";

export class Desk {
  readonly watches: Watches;
  readonly parts = new ImportParts();
  readonly #outbox: Outbox;

  constructor(watchers: Watchers, outbox: Outbox) {
    this.#outbox = outbox;
    this.watches = new Watches(watchers, outbox);
  }

  /** Sends one of many replies; resolves when the client has not too much left to read. */
  async send(reply: object, ref: Ref | undefined): Promise<void> {
    this.#outbox.push(objectLine(reply, ref));
    await this.#outbox.room();
  }

  /** The connection is gone. */
  close(): void {
    this.watches.close();
    this.parts.drop();
  }
}
