/** Errors that no handler caught: told with whose they are, so that they end no worker and no other task. */

import { preventDefault, uncurryGetter } from "../primordials.ts";
import { currentOwner } from "./owner_context.ts";
import type { TaskOwner } from "./task_owner.ts";

/** `owner` is undefined for an error of nobody's, or where the runtime does not tell whose it is. */
export type ErrorListener = (owner: TaskOwner | undefined, thrown: unknown) => void;

const errorOf = uncurryGetter(ErrorEvent.prototype, "error");
const reasonOf = uncurryGetter(PromiseRejectionEvent.prototype, "reason");

let told: ErrorListener = (_owner, thrown) => {
  throw thrown;
};

/** Tells `listener` from now on; without it an error ends the worker. */
export function catchErrors(listener: ErrorListener): void {
  told = listener;
  globalThis.addEventListener("error", (event) => tell(event, errorOf));
  globalThis.addEventListener("unhandledrejection", (event) => tell(event, reasonOf));
}

/** A callback of `owner` has thrown. */
export function tellError(owner: TaskOwner | undefined, thrown: unknown): void {
  told(owner, thrown);
}

function tell<E extends Event>(event: E, read: (event: E) => unknown): void {
  let thrown: unknown;
  try {
    thrown = read(event);
  } catch {
    // An event that task code has made up: nothing was thrown.
    return;
  }
  preventDefault(event);
  told(currentOwner(), thrown);
}
