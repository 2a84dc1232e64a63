/** The secret that a worker process must know: made, kept for workers of the same user, compared. */

import { timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";

/** 256 bits of randomness, in hex. */
export function newPoolSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Compares in constant time; a wrong length is no secret. */
export function isPoolSecret(given: unknown, secret: string): boolean {
  if (typeof given !== "string") return false;
  const [a, b] = [Buffer.from(given), Buffer.from(secret)];
  return a.length === b.length && timingSafeEqual(a, b);
}
