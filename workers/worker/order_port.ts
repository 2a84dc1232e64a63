/**
 * Receives the orders of the pool's main thread in a worker that runs task code. Events are made of classes that task
 * code can change, and the data of an event passes through them. So there are two ports: an event of one port only says
 * that a message has come; the message is taken from the other port without an event.
 */

import { defineProperty } from "../primordials.ts";

/** Calls `take` with each message on `orders` from now on. Call it before any task code loads. */
export function listenForOrders<T>(
  { orders, wake }: { orders: MessagePort; wake: MessagePort },
  take: (order: T) => void,
): void {
  const { receiveMessageOnPort } = process.getBuiltinModule("node:worker_threads");
  shield(wake);
  // The runtime reads this property of each event; it alone would give the port away.
  defineProperty(Event.prototype, "currentTarget", { configurable: false });
  wake.onmessage = () => {
    for (let next = receiveMessageOnPort(orders as never); next;) {
      take((next as { message: T }).message);
      next = receiveMessageOnPort(orders as never);
    }
  };
}

/** An empty list of transferred objects; its iterator is not one that task code can replace. */
const NOTHING: Transferable[] = [];
defineProperty(NOTHING, Symbol.iterator, {
  value: () => ({ next: () => ({ done: true, value: undefined }) }),
});

/** A function that posts to `port`, unaffected by later changes of the classes of messages. */
export function posterTo<T>(port: MessagePort): (message: T) => void {
  const post = port.postMessage.bind(port);
  return (message) => post(message, NOTHING);
}

/** Gives the port own copies of the methods that the runtime calls with each message. */
function shield(port: MessagePort): void {
  for (const name of ["dispatchEvent", "getParent", "addEventListener"] as const) {
    defineProperty(port, name, { value: (port as unknown as Record<string, unknown>)[name] });
  }
}
