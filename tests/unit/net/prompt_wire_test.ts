/** The empty lines that keep TLS prompt: one for each read, never inside a line, never beside a write. */

import { assertEquals } from "@std/assert";
import { PromptWire } from "../../../net/prompt_wire.ts";
import type { Wire } from "../../../net/wire.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Takes `most` bytes a write, and nothing while it is held. */
class FakeWire implements Wire {
  written = "";
  most = Infinity;
  held: Promise<void> | undefined;

  read(buffer: Uint8Array): Promise<number | null> {
    buffer[0] = 120;
    return Promise.resolve(1);
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.held;
    const taken = bytes.subarray(0, this.most);
    this.written += decoder.decode(taken);
    return taken.length;
  }

  close(): void {}

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }
}

/** Every microtask that is due. */
const settled = () => new Promise<void>((resolve) => setTimeout(resolve));

Deno.test("an empty line follows every read, but never inside a line of ours", async () => {
  const fake = new FakeWire();
  const wire = new PromptWire(fake);
  const buffer = new Uint8Array(1);
  await wire.read(buffer);
  await settled();
  assertEquals(fake.written, "\n");
  fake.most = 3;
  const line = encoder.encode("whole\n");
  let sent = await wire.write(line);
  await wire.read(buffer);
  await settled();
  assertEquals(fake.written, "\nwho");
  sent += await wire.write(line.subarray(sent));
  assertEquals([sent, fake.written], [6, "\nwhole\n"]);
  await wire.read(buffer);
  await settled();
  assertEquals(fake.written, "\nwhole\n\n");
});

Deno.test("no empty line is sent during a write, which carries the acknowledgement itself", async () => {
  const fake = new FakeWire();
  const wire = new PromptWire(fake);
  const hold = Promise.withResolvers<void>();
  fake.held = hold.promise;
  const writing = wire.write(encoder.encode("line\n"));
  await wire.read(new Uint8Array(1));
  hold.resolve();
  await writing;
  await settled();
  assertEquals(fake.written, "line\n");
});

Deno.test("a read succeeds if its empty line cannot be written", async () => {
  const fake = new FakeWire();
  fake.write = () => Promise.reject(new Error("closed"));
  const wire = new PromptWire(fake);
  assertEquals(await wire.read(new Uint8Array(1)), 1);
  await settled();
});
