/** A server that a test plays to a client, line by line and connection after connection. */

import { deadline } from "@std/async/deadline";

/** Longest wait of a test, in ms: long enough for a slow machine. */
const PATIENCE_MS = 60_000;

export type Message = Record<string, unknown> & { ref: number };

/** One connection of a client, in the test's hands. */
export class ScriptedConnection {
  readonly #conn: Deno.TcpConn;
  readonly #decoder = new TextDecoder();
  readonly #buffer = new Uint8Array(64 * 1024);
  #lines: string[] = [];
  #rest = "";

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  /** The next line of the client as it came; `undefined` once it has closed. */
  async line(): Promise<string | undefined> {
    while (this.#lines.length === 0) {
      const count = await deadline(this.#conn.read(this.#buffer), PATIENCE_MS);
      if (count === null) return undefined;
      const text = this.#decoder.decode(this.#buffer.subarray(0, count), { stream: true });
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop() ?? "";
      this.#lines = lines;
    }
    return this.#lines.shift();
  }

  /** The next message of the client. */
  async next(): Promise<Message> {
    const line = await this.line();
    if (line === undefined) throw new Error("the client closed the connection");
    return JSON.parse(line) as Message;
  }

  async take(count: number): Promise<Message[]> {
    const messages: Message[] = [];
    while (messages.length < count) messages.push(await this.next());
    return messages;
  }

  /** Sends objects, each a line, in one write. */
  async say(...objects: object[]): Promise<void> {
    await this.write(objects.map((object) => `${JSON.stringify(object)}\n`).join(""));
  }

  async write(text: string): Promise<void> {
    let bytes = new TextEncoder().encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(await this.#conn.write(bytes));
  }

  /** Answers the hello that a client comes back with, and returns it. */
  async greet(): Promise<Message> {
    const hello = await this.next();
    await this.say({ hello: "sd", version: "0", protocol: 1, ref: hello.ref });
    return hello;
  }

  /** As a server that is killed. May be called twice. */
  cut(): void {
    try {
      this.#conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}

export class ScriptedServer implements Disposable {
  readonly port: number;
  readonly #connections: ScriptedConnection[] = [];
  #listener: Deno.TcpListener | undefined;

  constructor() {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
  }

  get address(): { hostname: string; port: number } {
    return { hostname: "127.0.0.1", port: this.port };
  }

  /** The next connection of a client. */
  async accept(): Promise<ScriptedConnection> {
    if (!this.#listener) throw new Error("the scripted server is away");
    const connection = new ScriptedConnection(
      await deadline(this.#listener.accept(), PATIENCE_MS),
    );
    this.#connections.push(connection);
    return connection;
  }

  /** Cuts every connection and refuses new ones. */
  leave(): void {
    for (const connection of this.#connections) connection.cut();
    this.#listener?.close();
    this.#listener = undefined;
  }

  comeBack(): void {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: this.port });
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}
