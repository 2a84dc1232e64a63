/**
 * The secret that worker processes must know, and its file for workers that are started by themselves. Only the
 * server's user can read the file; the server's port names it, and it is removed when the server stops.
 */

import { dirname } from "node:path";
import { SECRET_VARIABLE } from "../cli/pool/pool_flags.ts";
import { poolSecretFile } from "../cli/state_dir.ts";
import { writeWholeFile } from "../cli/whole_file.ts";
import type { Log } from "./log.ts";

/** 256 bits of randomness, in hex. */
export function newPoolSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Writes the file; returns a function that removes it. A server that cannot write it only logs a warning. */
export function keepPoolSecret(
  { port, secret, log }: { port: number; secret: string; log: Log },
): () => void {
  let path = "the secret of the workers";
  try {
    path = poolSecretFile(port);
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // A new file each time: the mode of one that is there already would stay as it is.
    removeIfThere(path);
    writeWholeFile(path, secret + "\n", { mode: 0o600 });
  } catch (error) {
    log.warn(
      "server",
      `cannot write ${path}: ${reasonOf(error)}; sd work on this machine finds no secret there: ` +
        `start both with the same ${SECRET_VARIABLE}`,
    );
    return () => {};
  }
  return () => {
    try {
      // Another server may have the port, and the file, by now.
      if (Deno.readTextFileSync(path).trim() === secret) removeIfThere(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) log.warn("server", String(error));
    }
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
