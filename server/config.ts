/** What `sd serve` is told: its flags, checked, as one value. */

import { quote, SdError } from "../protocol/errors.ts";

export interface ServeConfig {
  readonly hostname: string;
  /** 0: any free one. */
  readonly port: number;
  readonly workers: number;
  readonly engineUrl: string;
  /** How long running tasks may go on once the server is told to stop. */
  readonly graceMs: number;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/;

/** Throws `bad_request` for an address that others can reach, unless the operator insists. */
export function checkAddress(hostname: string, insecure: boolean): void {
  if (LOOPBACK.test(hostname) || insecure) return;
  throw new SdError(
    "bad_request",
    `${quote(hostname)} is an address that other machines can reach, and anyone there could run ` +
      "tasks; listen on 127.0.0.1, or say --insecure if the network itself is closed to others",
  );
}
