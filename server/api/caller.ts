/** A client that asks, and may leave before the answer is there. */

import type { Role } from "../../protocol/operations.ts";

export interface Caller {
  readonly closed: boolean;
  readonly role: Role;
}
