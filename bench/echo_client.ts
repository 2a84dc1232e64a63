/**
 * Lines to the echo server and back, as many in flight on each connection as asked: what `sd bench`
 * does with tasks. Prints `{"rate":…,"p50":…}`: lines a second, and milliseconds.
 */

const [port = 0, connections = 1, depth = 1, count = 1] = Deno.args.map(Number);

const line = new TextEncoder().encode('{"op":"square","n":12345,"ref":12345}\n');
const many = new Uint8Array(line.length * depth);
for (let i = 0; i < depth; i++) many.set(line, i * line.length);

const latencies = new Float64Array(count);
let sent = 0;
let got = 0;

async function client(): Promise<void> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  const buffer = new Uint8Array(64 * 1024);
  let inFlight = 0;
  let partial = 0;
  let times: number[] = [];
  const send = async (lines: number) => {
    const some = Math.min(lines, count - sent);
    if (some <= 0) return;
    sent += some;
    inFlight += some;
    for (let i = 0, now = performance.now(); i < some; i++) times.push(now);
    for (let at = 0, end = some * line.length; at < end;) {
      at += await conn.write(many.subarray(at, end));
    }
  };
  await send(depth);
  while (inFlight > 0) {
    const bytes = await conn.read(buffer);
    if (bytes === null) throw new Error("the echo server closed the connection");
    partial += bytes;
    const lines = Math.floor(partial / line.length);
    partial -= lines * line.length;
    const now = performance.now();
    for (let i = 0; i < lines; i++) latencies[got++] = now - (times[i] ?? now);
    times = times.slice(lines);
    inFlight -= lines;
    await send(lines);
  }
  conn.close();
}

const start = performance.now();
await Promise.all(Array.from({ length: connections }, client));
const seconds = (performance.now() - start) / 1000;
latencies.sort();
const p50 = latencies[Math.floor(count / 2)] ?? 0;
await Deno.stdout.write(
  new TextEncoder().encode(JSON.stringify({ rate: count / seconds, p50 }) + "\n"),
);
