/**
 * Tokens and roles: which clients are let in, and which operations they can ask for. Every door asks here.
 * A token is compared by its SHA-256, in constant time, with all tokens of the server, and is never logged.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { SdError } from "../../protocol/errors.ts";
import { type Operation, type Role, ROLES } from "../../protocol/operations.ts";
import type { Asker } from "../engine/engine.ts";

/** A client that was let in, and may leave before its answer is there. */
export interface Caller extends Asker {
  readonly role: Role;
}

export class Auth {
  readonly #digests: readonly Uint8Array[];

  /** Without tokens, every client is let in. */
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
    // All of them are compared: the time that this takes reveals nothing.
    for (const known of this.#digests) found = timingSafeEqual(given, known) || found;
    if (!found || typeof token !== "string") {
      throw new SdError("unauthorized", "the token is not one of this server's");
    }
  }
}

/** Throws `unauthorized` if a caller of this role may not ask for the operation. */
export function checkRole(role: Role, operation: Operation): void {
  if (ROLES.indexOf(role) >= ROLES.indexOf(operation.role)) return;
  throw new SdError("unauthorized", `this needs the role ${operation.role}; yours is ${role}`);
}

/** Whether two secrets are the same. The time that it takes reveals neither length nor text. */
export function isSameSecret(given: unknown, secret: string): boolean {
  return typeof given === "string" && timingSafeEqual(digest(given), digest(secret));
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
