/**
 * Who may speak to the server: those who know one of its tokens, where it has any. Every door asks here.
 * A token is compared by its SHA-256, in constant time, with all of them, and is never logged.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { SdError } from "../../protocol/errors.ts";

export class Auth {
  readonly #digests: readonly Uint8Array[];

  /** No tokens: everyone may. */
  constructor(tokens: readonly string[]) {
    this.#digests = tokens.map(digest);
  }

  get isRequired(): boolean {
    return this.#digests.length > 0;
  }

  /** Throws `unauthorized` unless `token` is one of the server's. */
  check(token: unknown): void {
    if (!this.isRequired) return;
    if (token === undefined) {
      throw new SdError(
        "unauthorized",
        'this server wants a token: the first line must be {"cmd":"hello","token":"…"}',
      );
    }
    const given = digest(typeof token === "string" ? token : "");
    let found = false;
    // To the last one, whichever it is: the time tells nothing.
    for (const known of this.#digests) found = timingSafeEqual(given, known) || found;
    if (!found || typeof token !== "string") {
      throw new SdError("unauthorized", "the token is not one of this server's");
    }
  }
}

/** Whether two secrets are the same; neither their length nor their text shows in the time it takes. */
export function isSameSecret(given: unknown, secret: string): boolean {
  return typeof given === "string" && timingSafeEqual(digest(given), digest(secret));
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
