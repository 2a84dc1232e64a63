/** The secret between a server and its worker processes, as a person gives it: in a variable or a file. */

import { ClientError } from "../net/client_error.ts";

export const SECRET_VARIABLE = "SD_POOL_SECRET";
/** A shorter one could be guessed by trying. */
const MIN_SECRET_CHARS = 16;

/** `text` without the spaces around it; `from` is where it stood. Throws `usage` for one that is too short. */
export function readPoolSecret(text: string, from: string): string {
  const secret = text.trim();
  if (secret.length >= MIN_SECRET_CHARS) return secret;
  throw new ClientError(
    "usage",
    `the pool secret in ${from} has ${secret.length} characters; it must have ${MIN_SECRET_CHARS} or more`,
    { hint: "make one with: openssl rand -hex 32" },
  );
}
