/** Opens connections with `node:net` and `node:tls`, the sockets of Node and Bun. */

import { connect, type Socket } from "node:net";
import { connect as connectTls, rootCertificates } from "node:tls";
import { PromptWire } from "./prompt_wire.ts";
import type { Address, Wire } from "./wire.ts";

/** The system's texts for error codes, which Node leaves out. */
const REASONS: ReadonlyMap<unknown, string> = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["ECONNRESET", "connection reset by peer"],
  ["EPIPE", "broken pipe"],
  ["ETIMEDOUT", "connection timed out"],
  ["EHOSTUNREACH", "no route to host"],
  ["ENETUNREACH", "network is unreachable"],
]);

/** Opens a connection. Throws the error of the system; `signal` ends the try. */
export async function dialNode(address: Address, signal?: AbortSignal): Promise<Wire> {
  const { hostname: host, port, tls } = address;
  const socket = tls ? connectTls({ host, port, ...trust(address) }) : connect({ host, port });
  await connected(socket, { event: tls ? "secureConnect" : "connect", signal });
  const wire = new SocketWire(socket);
  return tls ? new PromptWire(wire) : wire;
}

/**
 * Opens a TLS connection to a server whose certificate is known: `certificate` is its SHA-256 in hex. Names and issuers do
 * not count. Throws for any other certificate.
 */
export async function dialPinned(
  { hostname: host, port, certificate }: {
    readonly hostname: string;
    readonly port: number;
    readonly certificate: string;
  },
  signal?: AbortSignal,
): Promise<Wire> {
  const socket = connectTls({ host, port, rejectUnauthorized: false });
  await connected(socket, { event: "secureConnect", signal });
  const seen = socket.getPeerCertificate().fingerprint256?.replaceAll(":", "").toLowerCase();
  if (seen !== certificate) {
    socket.destroy();
    throw new Error(`${host}:${port} has another certificate than it has announced`);
  }
  return new SocketWire(socket);
}

/** Resolves when `socket` is connected. Throws the error of the system; `signal` ends the try. */
async function connected(
  socket: Socket,
  { event, signal }: { event: "connect" | "secureConnect"; signal: AbortSignal | undefined },
): Promise<void> {
  // Small writes must leave at once: a lone task would wait 40 ms for them otherwise.
  socket.setNoDelay(true);
  // A task can take hours without a byte: a server that vanishes must still be noticed.
  socket.setKeepAlive(true);
  const giveUp = () => socket.destroy(new Error("aborted"));
  signal?.addEventListener("abort", giveUp);
  try {
    if (signal?.aborted) giveUp();
    await new Promise<void>((resolve, reject) => {
      socket.once(event, resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the server closed it")));
    });
  } catch (error) {
    socket.destroy();
    throw inWords(error);
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

function trust({ hostname, tls }: Address): { servername?: string; ca?: string[] } {
  const ca = tls?.caCerts ?? [];
  return {
    // An address is not a server name; the certificate is then checked against the address.
    ...(/^[\d.]+$|:/.test(hostname) ? {} : { servername: hostname }),
    ...(ca.length === 0 ? {} : { ca: [...rootCertificates, ...ca] }),
  };
}

/** A socket that reads only when its user asks for bytes. */
class SocketWire implements Wire {
  readonly #socket: Socket;
  #chunks: Uint8Array[] = [];
  #error: unknown;
  #hasEnded = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      socket.pause();
      this.#wake?.();
    });
    socket.on("error", (error) => {
      this.#error = inWords(error);
    });
    for (const end of ["end", "close"]) {
      socket.on(end, () => {
        this.#hasEnded = true;
        this.#wake?.();
      });
    }
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    while (this.#chunks.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#hasEnded) return null;
      this.#socket.resume();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const [chunk = buffer.subarray(0, 0), ...rest] = this.#chunks;
    const count = Math.min(chunk.length, buffer.length);
    buffer.set(chunk.subarray(0, count));
    this.#chunks = count < chunk.length ? [chunk.subarray(count), ...rest] : rest;
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(inWords(error)) : resolve());
    });
    return bytes.length;
  }

  async closeWrite(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.end(resolve));
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** `error` with the system's text. For a name with several addresses, the error of the first. */
function inWords(error: unknown): unknown {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const reason = REASONS.get((first as { code?: unknown } | undefined)?.code);
  return reason === undefined ? first : new Error(reason, { cause: first });
}
