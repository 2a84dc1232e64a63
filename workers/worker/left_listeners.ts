/**
 * Listeners that a task adds to what all tasks of its worker share, the global object and `process`, are
 * removed when it ends.
 */

import { apply, defineProperty } from "../primordials.ts";
import { currentOwner } from "./owner_context.ts";

type Listen = (this: unknown, type: string, listener: never, ...more: never[]) => unknown;
type AddListener = typeof globalThis.addEventListener;

/** Once, before any task file loads. */
export function watchListeners(): void {
  watchGlobal();
  watchProcess();
}

function watchGlobal(): void {
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  defineProperty(EventTarget.prototype, "addEventListener", {
    value: function (this: unknown, ...args: Parameters<AddListener>) {
      const isGlobal = this === undefined || this === null || this === globalThis;
      const owner = isGlobal ? currentOwner() : undefined;
      if (owner) owner.keep(args, (added) => apply(removeEventListener, globalThis, added));
      return apply(addEventListener, this, args);
    },
  });
  defineProperty(EventTarget.prototype.addEventListener, "name", { value: "addEventListener" });
}

function watchProcess(): void {
  const { removeListener } = process;
  for (const name of ["on", "addListener", "prependListener"] as const) {
    const add = process[name] as Listen;
    defineProperty(process, name, {
      value: function (this: unknown, ...args: Parameters<Listen>) {
        currentOwner()?.keep(args, ([type, listener]) => {
          apply(removeListener, process, [type, listener]);
        });
        return apply(add, this, args);
      },
      writable: true,
      configurable: true,
    });
  }
}
