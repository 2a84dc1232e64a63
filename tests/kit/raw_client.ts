/** A connection that sends exactly what a test says and reads line by line: no client of ours between. */

import { deadline } from "@std/async/deadline";

/** Longest wait of a test, in ms: long enough for a slow machine. */
const PATIENCE_MS = 60_000;

const encoder = new TextEncoder();

export class RawClient implements Disposable {
  readonly #conn: Deno.TcpConn;
  readonly #decoder = new TextDecoder();
  readonly #buffer = new Uint8Array(64 * 1024);
  readonly #patienceMs: number;
  #lines: string[] = [];
  #rest = "";
  #ended = false;

  private constructor(conn: Deno.TcpConn, patienceMs: number) {
    this.#conn = conn;
    this.#patienceMs = patienceMs;
  }

  /** It fails where nothing comes for `patienceMs`. */
  static async connect(
    address: { hostname: string; port: number },
    patienceMs = PATIENCE_MS,
  ): Promise<RawClient> {
    const conn = await Deno.connect(address);
    conn.setNoDelay(true);
    return new RawClient(conn, patienceMs);
  }

  /** Sends text, or bytes, as they are. */
  async send(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    for (let offset = 0; offset < bytes.length;) {
      offset += await this.#conn.write(bytes.subarray(offset));
    }
  }

  /** Sends objects, one a line. */
  sendObjects(...objects: readonly object[]): Promise<void> {
    return this.send(objects.map((object) => JSON.stringify(object) + "\n").join(""));
  }

  /** Says that nothing more will be sent. */
  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  /** The next line; `null` once the server has closed the connection. */
  async line(): Promise<string | null> {
    while (this.#lines.length === 0 && !this.#ended) await this.#read();
    return this.#lines.shift() ?? null;
  }

  // deno-lint-ignore no-explicit-any
  async object(): Promise<any> {
    const line = await this.line();
    if (line === null) throw new Error("the server closed the connection");
    return JSON.parse(line);
  }

  /** Every line until the server closes the connection. */
  async rest(): Promise<string[]> {
    while (!this.#ended) await this.#read();
    return this.#lines.splice(0);
  }

  /** Sends one object and answers the next line. */
  // deno-lint-ignore no-explicit-any
  async ask(object: object): Promise<any> {
    await this.sendObjects(object);
    return await this.object();
  }

  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #read(): Promise<void> {
    let bytes: number | null = null;
    try {
      bytes = await deadline(this.#conn.read(this.#buffer), this.#patienceMs);
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
    if (bytes === null) {
      this.#ended = true;
      return;
    }
    const text = this.#rest +
      this.#decoder.decode(this.#buffer.subarray(0, bytes), { stream: true });
    const lines = text.split("\n");
    this.#rest = lines.pop() ?? "";
    this.#lines.push(...lines);
  }
}
