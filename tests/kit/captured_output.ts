/** What a piece of code writes to stdout and stderr, caught; both seem to be no terminals meanwhile. */

export interface Captured<T> {
  value: T;
  stdout: string;
  stderr: string;
}

export async function captureOutput<T>(run: () => T | Promise<T>): Promise<Captured<T>> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const text = { stdout: "", stderr: "" };
  const catching = (stream: "stdout" | "stderr") => {
    const own = {
      writeSync: (bytes: Uint8Array) => {
        text[stream] += decoders[stream].decode(bytes, { stream: true });
        return bytes.length;
      },
      isTerminal: () => false,
    };
    const saved = Object.fromEntries(
      Object.keys(own).map((key) => [key, Object.getOwnPropertyDescriptor(Deno[stream], key)]),
    );
    for (const [key, value] of Object.entries(own)) {
      Object.defineProperty(Deno[stream], key, { value, configurable: true, writable: true });
    }
    return () => {
      for (const [key, descriptor] of Object.entries(saved)) {
        if (descriptor) Object.defineProperty(Deno[stream], key, descriptor);
        else Reflect.deleteProperty(Deno[stream], key);
      }
    };
  };
  const releases = [catching("stdout"), catching("stderr")];
  try {
    const value = await run();
    return { value, ...text };
  } finally {
    for (const release of releases) release();
  }
}
