/** The secret that a worker process must know: made anew by each server that is not given one. */

/** 256 bits of randomness, in hex. */
export function newPoolSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
