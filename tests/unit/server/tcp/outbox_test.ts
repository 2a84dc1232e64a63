/** Claims about text that waits to be written to a connection. */

import { assertEquals } from "@std/assert";

const OUTBOX = new URL("../../../../server/tcp/socket/outbox.ts", import.meta.url).href;
/** In a process of its own: a loop without an end would stop every timer here, too. */
const SCRIPT = `
  import { FlushTurns, Outbox } from "${OUTBOX}";
  const ends = [];
  for (const fail of [() => { throw new Deno.errors.ConnectionAborted(); }, () =>
    Promise.reject(new Deno.errors.ConnectionAborted())]) {
    const outbox = new Outbox({ write: fail }, {
      turns: new FlushTurns(),
      onLost: () => ends.push("lost"),
      maxUnreadBytes: Infinity,
      clock: { now: 1 },
      log: { bug: (_room, error) => ends.push(String(error)) },
    });
    outbox.push("text");
    outbox.flush();
    await outbox.flushed();
    await outbox.released();
    ends.push("released");
  }
  console.log(ends.join());
`;

Deno.test("a connection that fails at once releases its outbox, as one that fails later", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", "--ext=js", SCRIPT],
    stderr: "inherit",
    signal: AbortSignal.timeout(30_000),
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "lost,released,lost,released\n");
});
