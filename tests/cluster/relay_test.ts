/** Claims about relays: any server takes any client and any worker process, and nothing shows where it came in. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { relayLine } from "../../server/cluster/relay_line.ts";
import { dialPinned } from "../../net/node_dial.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { needing } from "../kit/needs.ts";
import { until } from "../kit/until.ts";
import { ClusterStage } from "./cluster_stage.ts";

Deno.test("a task that comes to a follower runs, on the workers of another follower", async () => {
  await using stage = await ClusterStage.start(2);
  const far = await stage.add({ workers: 1 });
  assertEquals(far.server.roster.role, "follows");
  using client = await stage.connect(stage.servers[1]!);
  const submit = { op: "square", n: 12, wait: true };
  const ack = await client.ask(submit);
  const end = await client.object();
  assertEquals([ack.status, end.status, end.result], ["queued", "completed", 144]);
  // The leader sees the others with its next look at the store.
  const servers = await until("the leader sees all servers", async () => {
    const { servers } = await client.ask({ cmd: "stats" });
    return servers.length === 3 && servers;
  });
  assertEquals(servers.map(({ name, role }: Record<string, string>) => `${name} ${role}`), [
    "a leads",
    "b follows",
    "c follows",
  ]);
});

Deno.test("health and ping are answered by each server itself, and roles are told apart", async () => {
  await using stage = await ClusterStage.start(2);
  const [first, second] = stage.servers;
  using leader = await stage.connect(first!);
  using follower = await stage.connect(second!);
  assertEquals((await leader.ask({ cmd: "health" })).role, "leads");
  assertEquals(await follower.ask({ cmd: "health", ref: 4 }), {
    ok: true,
    role: "follows",
    draining: false,
    version: "0.0.0-test",
    ref: 4,
  });
  assertEquals(await follower.ask({ cmd: "ping" }), { pong: true });
  assertEquals((await follower.ask({ cmd: "hello" })).hello, "sd");
});

Deno.test("a follower takes over when the lead ends, and clients of both go on there", async () => {
  await using stage = await ClusterStage.start(3);
  const before = await stage.leader();
  using client = await stage.connect(before);
  const id = crypto.randomUUID();
  assertEquals((await client.ask({ op: "square", n: 3, task: { id } })).status, "queued");
  stage.cluster.endLead();
  // Its connections are cut without a word.
  assertEquals(await client.line(), null);
  await until("another lead", () => stage.cluster.holder !== undefined);
  using again = await stage.connect(before);
  const found = await again.ask({ cmd: "get", task_id: id });
  assertEquals(found.status, "queued");
});

Deno.test("lines of nearly a MiB pass through a follower, each way, also to a client that reads late", async () => {
  await using stage = await ClusterStage.start(2, { workers: 1 });
  using client = await stage.connect(stage.follower());
  const text = "x".repeat(1000 * 1000);
  const count = 10;
  const sending = (async () => {
    for (let ref = 0; ref < count; ref++) {
      await client.send(`{"op":"echo","data":"${text}","task":{"wait":true},"ref":${ref}}\n`);
    }
  })();
  const ended = new Set<number>();
  while (ended.size < count) {
    const line = await client.object();
    if (line.result === undefined) continue;
    assertEquals(JSON.stringify(line.result).includes(text), true);
    ended.add(line.ref);
  }
  await sending;
  assertEquals(ended.size, count);
});

Deno.test("a client that ends its side gets all its replies through a follower, and then the end", async () => {
  await using stage = await ClusterStage.start(2, { workers: 1 });
  using client = await stage.connect(stage.follower());
  await client.send('{"op":"sleep","ms":200,"task":{"wait":true}}\n');
  await client.closeWrite();
  const lines = await client.rest();
  assertEquals(lines.length, 2);
  assertStringIncludes(lines[1]!, '"completed"');
});

Deno.test("tokens are judged by the leader, whichever server a client comes to", async () => {
  const token = "a token that is long enough";
  await using stage = await ClusterStage.start(2, { tokens: [token] });
  using stranger = await stage.connect(stage.follower());
  assertEquals((await stranger.ask({ op: "square", n: 2 })).error.code, "unauthorized");
  using client = await stage.connect(stage.follower());
  assertEquals((await client.ask({ cmd: "health" })).role, "follows");
  assertEquals((await client.ask({ cmd: "hello", token })).hello, "sd");
  using pinger = await stage.connect(stage.follower());
  assertEquals((await pinger.ask({ cmd: "ping" })).error.code, "unauthorized");
});

Deno.test("a silent client of a follower is told so, as by a leader", async () => {
  await using stage = await ClusterStage.start(2, { limits: { firstLineMs: 50, lingerMs: 200 } });
  using client = await stage.connect(stage.follower());
  const [line, ...more] = await client.rest();
  assertStringIncludes(line!, "no message came within");
  assertEquals(more, []);
});

Deno.test("a relay line is good once, for its epoch, and only with the secret", async () => {
  await using stage = await ClusterStage.start(2);
  const leader = await stage.leader();
  const { secret } = leader.store;
  const claim = { epoch: 1, peer: "10.0.0.9", server: "another" };
  const line = relayLine(claim, { secret, at: Date.now() });
  const first = async (text: string, server = leader) => {
    using client = await stage.connect(server);
    await client.send(text);
    return await client.object();
  };
  assertEquals(await first(line), { relay: "ok" });
  assertEquals((await first(line)).error.code, "unauthorized");
  const forged = relayLine(claim, { secret: `${secret}x`, at: Date.now() });
  assertEquals((await first(forged)).error.code, "unauthorized");
  const old = relayLine(claim, { secret, at: Date.now() - 60_000 });
  assertEquals((await first(old)).error.code, "unauthorized");
  const late = relayLine({ ...claim, epoch: 0 }, { secret, at: Date.now() });
  assertEquals((await first(late)).relay, "wrong");
  const astray = relayLine(claim, { secret, at: Date.now() });
  assertEquals(await first(astray, stage.follower()), {
    relay: "wrong",
    epoch: 1,
    leader: `127.0.0.1:${leader.server.address.port}`,
  });
});

Deno.test("without a leader connections are held, and go to the next one", async () => {
  await using stage = await ClusterStage.start(2);
  for (const { store } of stage.servers) store.isCut = true;
  stage.cluster.endLead();
  await until(
    "no leader",
    () => stage.servers.every(({ server }) => server.roster.role === "follows"),
  );
  using client = await stage.connect(stage.servers[1]!);
  const asked = client.ask({ cmd: "hello" });
  for (const { store } of stage.servers) store.isCut = false;
  assertEquals((await asked).hello, "sd");
});

Deno.test("a client of a follower gets the refusal of a leader that is full", async () => {
  await using stage = await ClusterStage.start(1, { limits: { maxConnections: 1 } });
  const follower = await stage.add();
  using first = await stage.connect(await stage.leader());
  assertEquals((await first.ask({ cmd: "hello" })).hello, "sd");
  using second = await stage.connect(follower);
  assertEquals((await second.ask({ cmd: "hello" })).error.code, "queue_full");
});

Deno.test("a client that does not read holds up the leader, and is cut with its relay", async () => {
  const limits = { writeStallMs: 500, sweepMs: 50 };
  await using stage = await ClusterStage.start(2, { workers: 1, limits });
  const follower = stage.follower();
  const data = "x".repeat(500_000);
  const conn = await Deno.connect(follower.server.address);
  const bytes = new TextEncoder().encode(`{"op":"echo","data":"${data}","task":{"wait":true}}\n`);
  const sent = (async () => {
    for (let i = 0; i < 100; i++) {
      for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    }
    return "sent";
  })().catch(() => "cut");
  assertEquals(await sent, "cut");
  conn.close();
});

const withOpenssl = needing("openssl", HAS_OPENSSL);

Deno.test(
  withOpenssl("over TLS a follower knows the leader by its certificate, whatever its name"),
  async () => {
    using certificate = await Certificate.make("a.name.that.no.address.has");
    using other = await Certificate.make("another.name");
    const tls = (of: Certificate) => ({ tls: { cert: of.cert, key: of.key } });
    await using stage = await ClusterStage.start(1, { ...tls(certificate), workers: 1 });
    const follower = await stage.add(tls(other));
    const { hostname, port } = follower.server.address;
    const conn = await Deno.connectTls({
      hostname: "localhost",
      port,
      caCerts: [other.cert],
      unsafelyDisableHostnameVerification: true,
    });
    const text = new TextEncoder().encode('{"op":"square","n":5,"task":{"wait":true}}\n');
    await conn.write(text);
    let got = "";
    const buffer = new Uint8Array(4096);
    while (!got.includes('"result":25')) {
      const count = await conn.read(buffer);
      if (count === null) throw new Error(`it ended after: ${got}`);
      got += new TextDecoder().decode(buffer.subarray(0, count));
    }
    conn.close();
    const wrong = await dialPinned({ hostname, port, certificate: "00" }).catch((error) => error);
    assertStringIncludes(String(wrong), "another certificate");
  },
);
