/** The worker process of `naive_server.ts`: one Web Worker, whatever comes in goes to it at once. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const worker = new Worker(new URL("./naive_worker.ts", import.meta.url), { type: "module" });
const conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
conn.setNoDelay(true);

let text = "pool\n";
let isWriting = false;
async function write(): Promise<void> {
  isWriting = true;
  while (text !== "") {
    const bytes = encoder.encode(text);
    text = "";
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  }
  isWriting = false;
}

worker.onmessage = ({ data }: MessageEvent<string>) => {
  text += data;
  if (!isWriting) void write();
};
await write();

const buffer = new Uint8Array(64 * 1024);
let rest = "";
for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
  const chunk = rest + decoder.decode(buffer.subarray(0, n));
  const end = chunk.lastIndexOf("\n");
  rest = chunk.slice(end + 1);
  if (end > 0) worker.postMessage(chunk.slice(0, end));
}
Deno.exit(0);
