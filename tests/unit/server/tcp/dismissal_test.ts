/**
 * How a refused connection ends. A system that closes a socket with bytes unread may take back from
 * the client what it was told, but few do so on loopback: so the order of things is watched here.
 */

import { assert, assertEquals } from "@std/assert";
import { DEFAULT_LIMITS } from "../../../../server/limits.ts";
import { Connection } from "../../../../server/tcp/socket/connection.ts";
import { FlushTurns, Outbox } from "../../../../server/tcp/socket/outbox.ts";

/** A connection whose client sends `reads` chunks and then waits, or closes. */
function fakeConn(reads: number, end: "waits" | "closes") {
  const events: string[] = [];
  const closed = Promise.withResolvers<never>();
  closed.promise.catch(() => undefined);
  const conn = {
    read(buffer: Uint8Array): Promise<number | null> {
      if (reads-- > 0) {
        events.push("read");
        buffer[0] = 120;
        return Promise.resolve(1);
      }
      return end === "closes" ? Promise.resolve(null) : closed.promise;
    },
    write(bytes: Uint8Array): Promise<number> {
      events.push("write");
      return Promise.resolve(bytes.length);
    },
    closeWrite(): Promise<void> {
      events.push("closeWrite");
      return Promise.resolve();
    },
    close(): void {
      if (!events.includes("close")) events.push("close");
      closed.reject(new Deno.errors.BadResource("closed"));
    },
  };
  return { conn: conn as unknown as Deno.Conn, events };
}

/** Its first line may be 2 bytes long; beyond that it is told so and dismissed. */
function refusing(conn: Deno.Conn) {
  const clock = { now: 1 };
  const log = {
    bug(_room: string, error: unknown) {
      throw error;
    },
  };
  const outbox = new Outbox(conn, {
    turns: new FlushTurns(),
    onLost: () => connection.cut(),
    maxUnreadBytes: 1000,
    clock,
    log,
  });
  const connection: Connection = new Connection({
    conn,
    outbox,
    handler: {
      handle: () => {},
      overflow() {
        outbox.push("too long\n");
        connection.dismiss();
      },
      ended: () => Promise.resolve(),
      cut: () => {},
    },
    handOver: () => undefined,
    mayBeLonger: () => false,
    limits: DEFAULT_LIMITS,
    maxFirstLineBytes: 2,
    firstLineMs: DEFAULT_LIMITS.firstLineMs,
    clock,
    log,
    onLate: () => {},
  });
  return { connection, clock };
}

Deno.test("who is refused is told, then that no more comes, and all it sent is read before the end", async () => {
  const { conn, events } = fakeConn(10, "closes");
  await refusing(conn).connection.serve();
  assertEquals(events.filter((event) => event === "read").length, 10);
  assert(events.indexOf("write") < events.indexOf("closeWrite"));
  assertEquals(events.at(-1), "close");
});

Deno.test("who is refused and does not close is cut when its moment is over, and not before", async () => {
  const { conn, events } = fakeConn(10, "waits");
  const { connection, clock } = refusing(conn);
  const served = connection.serve();
  await new Promise<void>((resolve) => setTimeout(resolve, 5));
  clock.now += DEFAULT_LIMITS.lingerMs;
  connection.sweep();
  assertEquals(events.includes("close"), false);
  clock.now += 1;
  connection.sweep();
  await served;
  assertEquals(events.at(-1), "close");
});
