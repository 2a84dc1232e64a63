/** The cursor of `list`: the serial number of the last task of a page. */

import { SdError } from "../../../protocol/errors.ts";

/** Throws `bad_request`. */
export function readCursor(cursor: string): number {
  const serial = /^\d{1,15}$/.test(cursor) ? Number(cursor) : NaN;
  if (Number.isNaN(serial)) {
    throw new SdError("bad_request", `the cursor is one that list answered; this is "${cursor}"`);
  }
  return serial;
}
