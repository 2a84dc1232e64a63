/** A connection of which some bytes were read already: they are read first. For whatever looks at first bytes. */

import type { Wire } from "./wire.ts";

export class WireAfter implements Wire {
  /** Bytes that the next read gets first. */
  protected rest: Uint8Array;
  protected readonly wire: Wire;

  constructor(rest: Uint8Array, wire: Wire) {
    this.rest = rest;
    this.wire = wire;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    if (this.rest.length === 0) return this.wire.read(buffer);
    const count = Math.min(this.rest.length, buffer.length);
    buffer.set(this.rest.subarray(0, count));
    this.rest = this.rest.subarray(count);
    return Promise.resolve(count);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.wire.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.wire.closeWrite();
  }

  close(): void {
    this.wire.close();
  }
}
