/**
 * The path of a task with nothing on it: no options, no engine, no leases, no limits, no order, no retry after a loss.
 * It shows what the runtime and the machine give to a server of this shape, to separate the costs of sd from theirs.
 * Speaks just enough of the wire for `sd bench`.
 */

interface Peer {
  push(text: string): void;
}

interface Task {
  readonly id: string;
  readonly ref: number;
  readonly client: Peer;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const tasks = new Map<number, Task>();
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const { port } = listener.addr as Deno.NetAddr;
const pool = Promise.withResolvers<Peer>();
let last = 0;

new Deno.Command(Deno.execPath(), {
  args: [
    "run",
    "--allow-net",
    "--allow-read",
    new URL("./naive_pool.ts", import.meta.url).href,
    `${port}`,
  ],
}).spawn();
void pool.promise.then(() => Deno.stdout.write(encoder.encode(`${port}\n`)));
Deno.addSignalListener("SIGTERM", () => Deno.exit(0));
for await (const conn of listener) void serve(conn);

async function serve(conn: Deno.TcpConn): Promise<void> {
  conn.setNoDelay(true);
  const self = peer(conn);
  const buffer = new Uint8Array(64 * 1024);
  let rest = "";
  let isPool = false;
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    const lines = (rest + decoder.decode(buffer.subarray(0, n))).split("\n");
    rest = lines.pop() ?? "";
    if (isPool) lines.forEach(finish);
    else if (lines[0] === "pool") {
      isPool = true;
      pool.resolve(self);
    } else await submit(lines, self);
  }
}

async function submit(lines: readonly string[], client: Peer): Promise<void> {
  let acknowledged = "";
  let leased = "";
  for (const line of lines) {
    const { ref } = JSON.parse(line) as { ref: number };
    const id = crypto.randomUUID();
    tasks.set(++last, { id, ref, client });
    acknowledged += `{"task_id":"${id}","status":"queued","ref":${ref}}\n`;
    leased += `{"lease":${last},"submit":${line}}\n`;
  }
  client.push(acknowledged);
  (await pool.promise).push(leased);
}

function finish(line: string): void {
  const comma = line.indexOf(",");
  const lease = Number(line.slice('{"lease":'.length, comma));
  const task = tasks.get(lease);
  tasks.delete(lease);
  const result = line.slice(comma + ',"result":'.length, -1);
  task?.client.push(
    `{"task_id":"${task.id}","status":"completed","result":${result},"ref":${task.ref}}\n`,
  );
}

/** Writes what has gathered, whenever the write before is done. */
function peer(conn: Deno.TcpConn): Peer {
  let text = "";
  let isWriting = false;
  const write = async () => {
    while (text !== "") {
      const bytes = encoder.encode(text);
      text = "";
      for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    }
    isWriting = false;
  };
  return {
    push(more) {
      text += more;
      if (isWriting) return;
      isWriting = true;
      queueMicrotask(() => void write());
    },
  };
}
