/** The text of an import that comes in several messages of a connection, put together again. */

import { quote, SdError } from "../../../protocol/errors.ts";
import { MAX_IMPORT_CHARS } from "../../../protocol/limits.ts";
import type { JsonObject } from "../../../protocol/message.ts";

export class ImportParts {
  #parts: string[] = [];
  #chars = 0;

  /** Takes a part; the whole text with the last one. Throws `bad_request`, and then begins anew. */
  take({ part, at = 0, last }: JsonObject): string | undefined {
    if (typeof part !== "string" || typeof last !== "boolean") {
      this.drop();
      throw new SdError(
        "bad_request",
        "import takes records, an array, or part, a text, with last, true or false; this is " +
          `part ${quote(part)} with last ${quote(last)}`,
      );
    }
    // A first part begins anew, whatever was left of a text that was given up.
    if (at === 0) this.drop();
    if (at !== this.#chars) {
      const chars = this.#chars;
      this.drop();
      throw new SdError(
        "conflict",
        `a part at ${quote(at)} came where the text before it has ${chars} characters on this ` +
          "connection; send it again from its beginning",
      );
    }
    this.#parts.push(part);
    this.#chars += part.length;
    if (this.#chars > MAX_IMPORT_CHARS) {
      this.drop();
      throw new SdError(
        "bad_request",
        `the parts of one import have at most ${MAX_IMPORT_CHARS} characters together; send ` +
          "whole lines, and say last more often",
      );
    }
    if (!last) return undefined;
    const text = this.#parts.join("");
    this.drop();
    return text;
  }

  drop(): void {
    this.#parts = [];
    this.#chars = 0;
  }
}
