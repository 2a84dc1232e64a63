/**
 * TLS connections that do not shake hands, and connections that end before they are accepted: their
 * resources are freed, and others are served meanwhile.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connect, SdError } from "../../client/mod.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { shell } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

const encoder = new TextEncoder();

const withOpenssl = needing("openssl and /proc", HAS_OPENSSL && Deno.build.os === "linux");

/** The number of open sockets of this process, which also runs the server of the test. */
async function openSockets(): Promise<number> {
  return Number(await shell(`ls -l /proc/${Deno.pid}/fd | grep -c socket: || true`));
}

/** The first record of a handshake announces 512 bytes that do not come. */
const HALF_HELLO = new Uint8Array([0x16, 3, 1, 2, 0, 1]);
/** What a client sends in place of a handshake, once or every 50 ms. */
const BEGINNINGS: readonly { name: string; first: Uint8Array; drip?: Uint8Array }[] = [
  { name: "silence", first: new Uint8Array() },
  { name: "half a hello", first: HALF_HELLO },
  { name: "a hello a byte at a time", first: HALF_HELLO, drip: new Uint8Array([0]) },
  { name: "garbage", first: crypto.getRandomValues(new Uint8Array(4096)) },
  { name: "a line", first: encoder.encode('{"cmd":"ping"}\n') },
];

Deno.test({
  ...withOpenssl("a TLS connection that does not shake hands in time is closed, whatever it sends"),
  async fn(t) {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    await using server = await TestServer.start({
      workers: 1,
      tls: { cert, key },
      limits: { handshakeMs: 300, sweepMs: 50 },
    });
    for (const { name, first, drip } of BEGINNINGS) {
      await t.step(name, async () => {
        const before = await openSockets();
        const clients = await Promise.all(
          Array.from({ length: 5 }, () => Deno.connect(server.address)),
        );
        for (const client of clients) if (first.length > 0) await client.write(first);
        const drops = drip && setInterval(() => {
          for (const client of clients) client.write(drip).catch(() => undefined);
        }, 50);
        // The client's own sockets are still open.
        await until(
          "the server lets go of them",
          async () => await openSockets() <= before + clients.length,
        );
        clearInterval(drops);
        for (const client of clients) client.close();
      });
    }
    await using client = await connect({
      hostname: "localhost",
      port: server.address.port,
      tls: { caCerts: [cert] },
    });
    assertEquals(await client.run("square", { n: 5 }), 25);
    assertEquals((await client.stats()).connections, 2);
  },
});

Deno.test({
  ...withOpenssl("handshakes count against the limit of connections until they end"),
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    await using server = await TestServer.start({
      workers: 1,
      tls: { cert, key },
      limits: { maxConnections: 3, handshakeMs: 2000, sweepMs: 50 },
    });
    const target = {
      hostname: "localhost",
      port: server.address.port,
      tls: { caCerts: [cert] },
    };
    const before = await openSockets();
    const half = await Promise.all(Array.from({ length: 3 }, () => Deno.connect(server.address)));
    for (const client of half) await client.write(HALF_HELLO);
    const code = async (): Promise<string> => {
      try {
        await using client = await connect(target);
        await client.ping();
        return "ok";
      } catch (error) {
        if (!(error instanceof SdError)) throw error;
        return error.code;
      }
    };
    assertEquals(await code(), "queue_full");
    await until("there is room again", async () => await code() === "ok");
    for (const client of half) client.close();
    await until("every descriptor is free", async () => await openSockets() <= before);
  },
});

Deno.test({
  ...withOpenssl("a TLS connection that ends at any moment frees all its resources"),
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    await using server = await TestServer.start({
      workers: 1,
      tls: { cert, key },
      limits: { sweepMs: 50, lingerMs: 200 },
    });
    const { port } = server.address;
    const before = await openSockets();
    const secured = () => Deno.connectTls({ hostname: "localhost", port, caCerts: [cert] });
    const end = new Uint8Array(4096);
    // Cut in its handshake, right after it, in the middle of a line, with a reply under way.
    for (const bytes of ["", '{"op":"ec', '{"op":"echo","data":1}\n{"cmd":"stats"}\n']) {
      const conn = await secured();
      await conn.handshake();
      if (bytes !== "") await conn.write(encoder.encode(bytes));
      conn.close();
    }
    const half = await Deno.connect(server.address);
    await half.write(HALF_HELLO);
    half.close();
    // It sends no more, and still gets its answers; then the server closes it.
    const polite = await secured();
    await polite.write(encoder.encode('{"op":"square","n":9}\n'));
    await polite.closeWrite();
    let text = "";
    for (let count = await polite.read(end); count !== null; count = await polite.read(end)) {
      text += new TextDecoder().decode(end.subarray(0, count));
    }
    polite.close();
    assertStringIncludes(text, '"result":81');
    // It is refused: it gets the reason, and is closed although it stays.
    const refused = await secured();
    await refused.write(encoder.encode("GET / HTTP/1.1\r\n"));
    const count = await refused.read(end);
    assertStringIncludes(new TextDecoder().decode(end.subarray(0, count ?? 0)), "bad_json");
    await until(
      "every descriptor but the client's own is free",
      async () => await openSockets() <= before + 1,
    );
    refused.close();
  },
});

/** Connects and resets: with a linger of no time, closing is a reset. */
const RESETTER = `
import socket, struct, sys
for _ in range(300):
    client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
`;
const withPython = needing("python3", await isInstalled("python3"));

Deno.test({
  ...withPython("connections that are reset before they are accepted hold up no others"),
  async fn() {
    await using server = await TestServer.start({ workers: 1 });
    // While this process does not run, nothing is accepted: all of them are reset by then.
    const { success } = new Deno.Command("python3", {
      args: ["-c", RESETTER, String(server.address.port)],
    }).outputSync();
    assert(success);
    const pauses = countPauses();
    try {
      using client = await server.connect();
      assertEquals((await client.ask({ op: "square", n: 4 })).status, "queued");
      assertEquals((await client.object()).result, 16);
    } finally {
      pauses.restore();
    }
    assert(pauses.count <= 1, `the server paused ${pauses.count} times before it accepted`);
    assertEquals(server.lines.filter((line) => line.includes("cannot accept")), []);
  },
});

/** Counts timers of the length of the acceptor's pause. */
function countPauses() {
  const { setTimeout } = globalThis;
  const pauses = {
    count: 0,
    restore: () => {
      globalThis.setTimeout = setTimeout;
    },
  };
  globalThis.setTimeout = ((callback: () => void, ms?: number) => {
    if (ms === 50) pauses.count++;
    return setTimeout(callback, ms);
  }) as typeof setTimeout;
  return pauses;
}
