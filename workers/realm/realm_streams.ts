/**
 * Stand-ins for the standard streams of the process in a worker that runs task files. On the real ones the
 * pool talks with its parent: a task must not read its orders away, nor write between its lines. Input
 * is at its end; what is written goes where `console` puts it.
 */

import { defineProperty } from "../primordials.ts";

const decoder = new TextDecoder();

export function standInStreams(): void {
  standIn(Deno, "stdin", lazy(denoInput));
  standIn(Deno, "stdout", lazy(() => denoOutput("info")));
  standIn(Deno, "stderr", lazy(() => denoOutput("error")));
  standIn(process, "stdin", lazy(nodeInput));
  standIn(process, "stdout", lazy(() => nodeOutput(1, "info")));
  standIn(process, "stderr", lazy(() => nodeOutput(2, "error")));
}

/** Made when it is first asked for: most tasks never do. */
function lazy<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => made ??= make();
}

function standIn(owner: object, name: string, get: () => unknown): void {
  defineProperty(owner, name, { get, enumerable: true, configurable: false });
}

/** A line end of its own is the console's to make. */
function tell(level: "info" | "error", text: string): void {
  // deno-lint-ignore no-console
  console[level](text.endsWith("\n") ? text.slice(0, -1) : text);
}

function denoInput() {
  return {
    read: () => Promise.resolve(null),
    readSync: () => null,
    readable: new ReadableStream({ start: (controller) => controller.close() }),
    isTerminal: () => false,
    setRaw: () => undefined,
    close: () => undefined,
  };
}

function denoOutput(level: "info" | "error") {
  const writeSync = (bytes: Uint8Array) => {
    tell(level, decoder.decode(bytes));
    return bytes.length;
  };
  return {
    write: (bytes: Uint8Array) => Promise.resolve(writeSync(bytes)),
    writeSync,
    writable: new WritableStream<Uint8Array>({ write: (bytes) => void writeSync(bytes) }),
    isTerminal: () => false,
    close: () => undefined,
  };
}

function nodeInput() {
  const { Readable } = process.getBuiltinModule("node:stream");
  return Object.assign(Readable.from([]), { fd: 0, isTTY: false });
}

function nodeOutput(fd: number, level: "info" | "error") {
  const { Writable } = process.getBuiltinModule("node:stream");
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: unknown, _encoding: unknown, done: () => void) {
      tell(level, typeof chunk === "string" ? chunk : decoder.decode(chunk as Uint8Array));
      done();
    },
    // A library that ends stdout means its own part of it.
    final: (done: () => void) => done(),
  });
  return Object.assign(stream, { fd, isTTY: false });
}
