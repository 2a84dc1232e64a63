/** A bare Deno TCP echo: the ceiling that the runtime and the machine set to every server on them. */

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
await Deno.stdout.write(new TextEncoder().encode(`${(listener.addr as Deno.NetAddr).port}\n`));

for await (const conn of listener) void echo(conn);

async function echo(conn: Deno.TcpConn): Promise<void> {
  conn.setNoDelay(true);
  const buffer = new Uint8Array(64 * 1024);
  for (;;) {
    const bytes = await conn.read(buffer);
    if (bytes === null) return conn.close();
    for (let at = 0; at < bytes;) at += await conn.write(buffer.subarray(at, bytes));
  }
}
