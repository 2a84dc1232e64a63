/**
 * What the npm package does on the runtime that runs this file: Node, Bun, or Deno itself. It imports the
 * package by its name, from beside itself, and starts servers by the command in `SD_SERVE`. Prints a line
 * for each check that held; the first that does not ends it.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { ClientError, connect, SdError, TaskEndedError, TaskFailedError } from "@sd/sd";

const [path, ...args] = JSON.parse(process.env.SD_SERVE);
const { SD_CERT, SD_KEY } = process.env;

/** `sd serve`, once it is ready. */
async function startServer({ port = 0, flags = [], env = {} }) {
  const child = spawn(path, [...args, "--port", String(port), "--workers", "2", ...flags], {
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const lines = [];
  const told = createInterface({ input: child.stderr });
  for await (const line of told) {
    lines.push(line);
    if (line === "[dispatcher] started") break;
  }
  child.stderr.resume();
  const [, listening] = /listening on .*:(\d+)$/m.exec(lines.join("\n")) ?? [];
  assert(listening, `sd serve did not start:\n${lines.join("\n")}`);
  const end = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  };
  return { port: Number(listening), end };
}

async function withServer(use, options = {}) {
  const server = await startServer({ flags: ["--engine", "memory:"], ...options });
  try {
    await use(server);
  } finally {
    await server.end("SIGTERM");
  }
}

async function withClient(use) {
  await withServer(async ({ port }) => {
    const client = await connect({ port });
    try {
      await use(client);
    } finally {
      await client.close();
    }
  });
}

const checks = {
  "a task is submitted, waited for, told, cancelled": () =>
    withClient(async (client) => {
      assert.equal(await client.square({ n: 7 }), 49);
      const task = await client.submit("echo", { data: "é🎉" }, { priority: 5 });
      assert.equal(await task.result, "é🎉");
      assert.equal((await client.get(task.id)).status, "completed");
      assert.equal((await client.wait(task.id)).result, "é🎉");
      await assert.rejects(client.square({ n: "x" }), TaskFailedError);
      await assert.rejects(client.run("no-such-op"), SdError);
      const sleeper = await client.submit("sleep", { ms: 60_000 });
      await client.cancel(sleeper.id);
      await assert.rejects(sleeper.result, TaskEndedError);
    }),

  "ten thousand tasks go through submitMany": () =>
    withClient(async (client) => {
      const tasks = function* () {
        for (let n = 0; n < 10_000; n++) yield { op: "square", args: { n } };
      };
      let sum = 0;
      for await (const end of client.submitMany(tasks())) {
        assert.equal(end.result, end.index ** 2);
        sum += end.index;
      }
      assert.equal(sum, 49_995_000);
    }),

  "lines of a mebibyte go both ways": () =>
    withClient(async (client) => {
      const data = "ü".repeat(500_000);
      const results = await Promise.all([1, 2, 3].map(() => client.echo({ data })));
      assert(results.every((result) => result === data));
    }),

  "a watch is read, and a signal gives things up": () =>
    withClient(async (client) => {
      const events = client.watch({ op: "sleep" });
      const aborter = new AbortController();
      const call = client.sleep({ ms: 60_000 }, { id: "long", signal: aborter.signal });
      const rejected = assert.rejects(call, /not wanted/);
      for await (const { event } of events) {
        if (event === "started") break;
      }
      aborter.abort(new Error("not wanted"));
      await rejected;
      assert.equal((await client.wait("long")).status, "cancelled");
    }),

  "a server that is killed and started again finds its client, and no task twice": async () => {
    const data = mkdtempSync(join(tmpdir(), "sd-package-"));
    const count = 3000;
    const lost = [];
    let back = 0;
    let server = await startServer({ env: { SD_DATA: data } });
    const { port } = server;
    const client = await connect({ port }, {
      onLost: (error) => lost.push(error),
      onBack: () => back++,
    });
    try {
      const tasks = Array.from({ length: count }, (_, n) => ({ op: "square", args: { n } }));
      const ends = client.submitMany(tasks, { inFlight: 200 });
      let told = 0;
      for await (const end of ends) {
        assert.equal(end.status, "completed");
        assert.equal(end.result, end.index ** 2);
        if (++told !== 300) continue;
        await server.end("SIGKILL");
        server = await startServer({ port, env: { SD_DATA: data } });
      }
      assert.equal(told, count);
      assert(lost.length > 0 && lost[0] instanceof ClientError && back > 0);
      let kept = 0;
      let cursor;
      do {
        const page = await client.list({ op: "square", limit: 1000, ...(cursor && { cursor }) });
        kept += page.tasks.length;
        cursor = page.cursor;
      } while (cursor);
      assert.equal(kept, count);
    } finally {
      await client.close();
      await server.end("SIGTERM");
      rmSync(data, { recursive: true });
    }
  },

  "what cannot be reached says why": async () => {
    let port = 0;
    await withServer((server) => Promise.resolve(port = server.port));
    await assert.rejects(connect({ port }), {
      code: "unreachable",
      message: `cannot reach 127.0.0.1:${port}: connection refused`,
    });
    await assert.rejects(connect({ hostname: "localhost", port }), /connection refused/);
  },

  "a server with a token and TLS takes who knows both": async () => {
    if (!SD_CERT) return "there is no openssl";
    const flags = ["--engine", "memory:", "--tls-cert", SD_CERT, "--tls-key", SD_KEY];
    await withServer(async ({ port }) => {
      const tls = { caCerts: [readFileSync(SD_CERT, "utf8")] };
      const address = { hostname: "localhost", port, token: "a-token-of-some-length", tls };
      const client = await connect(address);
      assert.equal(await client.square({ n: 7 }), 49);
      const many = Array.from({ length: 1000 }, (_, n) => client.square({ n }));
      assert.equal((await Promise.all(many)).length, 1000);
      await client.close();
      await assert.rejects(connect({ ...address, token: "wrong" }), { code: "unauthorized" });
      await assert.rejects(connect({ ...address, tls: true }), { code: "unreachable" });
      await assert.rejects(connect({ ...address, tls: false }), { code: "unreachable" });
    }, { flags, env: { SD_TOKEN: "a-token-of-some-length" } });
  },
};

for (const [name, check] of Object.entries(checks)) {
  const skipped = await check();
  process.stdout.write(`${skipped ? `skipped, ${skipped}` : "held"}: ${name}\n`);
}
