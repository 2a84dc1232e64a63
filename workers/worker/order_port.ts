/**
 * How a worker that runs code of others hears what the pool's main thread orders. An event is made of classes that such
 * code can change, and what it carries passes through them. So there are two ports: an event of the one says that there
 * is something, and carries nothing; what there is is taken from the other without an event.
 */

import { defineProperty } from "../primordials.ts";

/** Calls `take` with each message that comes on `orders`, from now on. Call it before code of others is there. */
export function listenForOrders<T>(
  { orders, wake }: { orders: MessagePort; wake: MessagePort },
  take: (order: T) => void,
): void {
  const { receiveMessageOnPort } = process.getBuiltinModule("node:worker_threads");
  shield(wake);
  // What the runtime asks an event for on its way; this alone would hand out the port.
  defineProperty(Event.prototype, "currentTarget", { configurable: false });
  wake.onmessage = () => {
    for (let next = receiveMessageOnPort(orders as never); next;) {
      take((next as { message: T }).message);
      next = receiveMessageOnPort(orders as never);
    }
  };
}

/** Nothing to transfer; to walk through it calls no code of others. */
const NOTHING: Transferable[] = [];
defineProperty(NOTHING, Symbol.iterator, {
  value: () => ({ next: () => ({ done: true, value: undefined }) }),
});

/** What posts to `port`, whatever becomes of the classes of messages later. */
export function posterTo<T>(port: MessagePort): (message: T) => void {
  const post = port.postMessage.bind(port);
  return (message) => post(message, NOTHING);
}

/** Keeps to itself what the runtime calls on the port with each message, whatever is inherited then. */
function shield(port: MessagePort): void {
  for (const name of ["dispatchEvent", "getParent", "addEventListener"] as const) {
    defineProperty(port, name, { value: (port as unknown as Record<string, unknown>)[name] });
  }
}
