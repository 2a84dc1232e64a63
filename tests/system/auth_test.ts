/** Tokens: a connection without one is refused and closed, whatever it sends; a connection with one is served. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, SdError } from "../../client/mod.ts";
import { MAX_LINE_BYTES_BEFORE_HELLO } from "../../server/limits.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const TOKEN = "a-token-of-32-characters-exactly";
const OTHER = "another-token-of-the-same-server";

Deno.test("without a hello with a token nothing runs, and the connection is closed", async () => {
  await using server = await TestServer.start({
    workers: 1,
    tokens: [TOKEN, OTHER],
    limits: { wrongGuessMs: 10 },
  });
  const refused = [
    { op: "square", n: 4 },
    { cmd: "ping" },
    { cmd: "hello" },
    { cmd: "hello", token: "wrong" },
    { cmd: "hello", token: "" },
    { cmd: "hello", token: TOKEN.slice(0, -1) },
    { cmd: "hello", token: TOKEN + "x" },
    { cmd: "hello", token: [TOKEN] },
    { cmd: "hello", token: null },
    { cmd: "hello", token: { toString: TOKEN } },
  ];
  for (const message of refused) {
    using client = await server.connect();
    await client.sendObjects({ ...message, ref: 7 }, { cmd: "hello", token: TOKEN }, {
      op: "echo",
    });
    const reply = await client.object();
    assertEquals([reply.error.code, reply.ref], ["unauthorized", 7], JSON.stringify(message));
    assertEquals(await client.rest(), [], JSON.stringify(message));
  }
  for (const token of [TOKEN, OTHER]) {
    using client = await server.connect();
    assertEquals((await client.ask({ cmd: "hello", token })).hello, "sd");
    assertEquals((await client.ask({ op: "square", n: 4 })).status, "queued");
    assertEquals((await client.object()).result, 16);
  }
  using client = await server.connect();
  await client.ask({ cmd: "hello", token: TOKEN });
  assertEquals((await client.ask({ cmd: "stats" })).totals.submitted, 2);
  assert(!server.lines.some((line) => line.includes(TOKEN)), "no token is logged");
});

Deno.test("replies to wrong tokens are late, a few at a time for each address, and no right token is locked out", async () => {
  const limits = { wrongGuessMs: 3_600_000 };
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN], limits });
  const guessers = await Promise.all(Array.from({ length: 60 }, () => server.connect()));
  let answered = 0, closed = 0;
  const ends = guessers.map(async (client, i) => {
    await client.sendObjects({ cmd: "hello", token: `a-wrong-token-of-this-length-${i}` });
    if (await client.line() === null) closed++;
    else answered++;
  });
  // Those for whom there is no room are closed without a word; the others wait for an hour.
  for (const end = Date.now() + 60_000; closed < 44;) {
    assert(Date.now() < end, `${closed} are closed`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  using honest = await server.connect();
  assertEquals((await honest.ask({ cmd: "hello", token: TOKEN })).hello, "sd");
  assertEquals((await honest.ask({ op: "square", n: 4 })).status, "queued");
  assertEquals((await honest.object()).result, 16);
  assertEquals([answered, closed], [0, 44]);
  // A wrong guess of a client that was let in finds no room either.
  await honest.sendObjects({ cmd: "hello", token: "a-wrong-token-of-this-length" });
  assertEquals(await honest.line(), null);
  await server.stop();
  await Promise.all(ends);
  assertEquals([answered, closed], [16, 44]);
  for (const client of guessers) client[Symbol.dispose]();
});

Deno.test("a second hello is checked again: another right token is accepted, a wrong one closes the connection", async () => {
  const limits = { wrongGuessMs: 10 };
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN, OTHER], limits });
  using client = await server.connect();
  assertEquals((await client.ask({ cmd: "hello", token: TOKEN })).hello, "sd");
  assertEquals((await client.ask({ cmd: "hello", token: OTHER })).hello, "sd");
  assertEquals((await client.ask({ cmd: "hello" })).hello, "sd");
  for (const token of ["a-wrong-token-of-this-length", 7, null]) {
    using stranger = await server.connect();
    assertEquals((await stranger.ask({ cmd: "hello", token: TOKEN })).hello, "sd");
    const refused = await stranger.ask({ cmd: "hello", token, ref: "again" });
    assertEquals([refused.error.code, refused.ref], ["unauthorized", "again"]);
    assertEquals(await stranger.line(), null);
  }
  // A server without tokens wants none, and so refuses none.
  await using open = await TestServer.start({ workers: 1 });
  using anyone = await open.connect();
  assertEquals((await anyone.ask({ cmd: "hello", token: "whatever" })).hello, "sd");
});

Deno.test("server and workers refuse a pool secret that is easy to guess, with the cure", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const file = `${folder}/short`;
    Deno.writeTextFileSync(file, "fifteen-letters\n");
    const env = { SD_POOL_SECRET: "fifteen-letters" };
    const serve = ["serve", "--port", "0", "--engine", "memory:"];
    const work = ["work", "--server", "127.0.0.1:1"];
    for (
      const run of [
        await runSd(serve, env),
        await runSd(work, env),
        await runSd([...work, "--secret-file", file]),
      ]
    ) {
      assertEquals(run.code, 2, run.stderr);
      assertStringIncludes(run.stderr, "16 or more");
      assertStringIncludes(run.stderr, "openssl rand -hex 32");
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  const secret = "sixteen--letters";
  await using server = await SdServe.start(["--workers", "1"], { env: { SD_POOL_SECRET: secret } });
  assertEquals(server.lines[1], "[server] 1 worker started");
});

Deno.test("the first line before hello can be 4 KiB long, and not a byte longer", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN] });
  const hello = (bytes: number) => {
    const text = JSON.stringify({ cmd: "hello", token: TOKEN });
    return text.slice(0, -1) + " ".repeat(bytes - text.length) + "}\n";
  };
  using fits = await server.connect();
  await fits.send(hello(MAX_LINE_BYTES_BEFORE_HELLO));
  assertEquals((await fits.object()).hello, "sd");
  // After it, lines are as long as anywhere.
  const data = "x".repeat(100_000);
  await fits.ask({ op: "echo", data });
  assertEquals((await fits.object()).result.length, data.length);
  using over = await server.connect();
  await over.send(hello(MAX_LINE_BYTES_BEFORE_HELLO + 1));
  assertEquals((await over.object()).error.code, "line_too_long");
  assertEquals(await over.line(), null);
});

Deno.test("the client library sends hello itself, and separates a wrong token from a missing server", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN] });
  await using client = await connect({ ...server.address, token: TOKEN });
  const task = await client.submit("square", { n: 7 });
  assertEquals(await task.result, 49);
  for (const token of ["wrong", ""]) {
    const error = await assertRejects(() => connect({ ...server.address, token }), SdError);
    assertEquals(error.code, "unauthorized");
  }
});

Deno.test("a server without tokens accepts a hello with a token", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  assertEquals((await client.ask({ cmd: "hello", token: "any" })).hello, "sd");
});

Deno.test("commands take the token from a file or SD_TOKEN, and end with 4 without it", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, `# of the test\n${TOKEN}\n`);
    await using server = await SdServe.start(["--workers", "1", "--token-file", file]);
    const env = { SD_SERVER: server.server };
    const submit = ["submit", '{"op":"square","n":7}'];
    assertEquals((await runSd([...submit, "--token-file", file], env)).stdout, "49\n");
    assertEquals((await runSd(submit, { ...env, SD_TOKEN: TOKEN })).stdout, "49\n");
    const none = await runSd(submit, env);
    assertEquals([none.code, none.stdout], [4, ""]);
    assertStringIncludes(none.stderr, "--token-file");
    assertEquals((await runSd(["bench", "--count", "100"], { ...env, SD_TOKEN: TOKEN })).code, 0);
    assertEquals((await runSd(["bench", "--count", "100"], { ...env, SD_TOKEN: "x" })).code, 4);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("a public address needs a token and TLS, or --insecure", async () => {
  const refused = await runSd(["serve", "--host", "0.0.0.0", "--port", "0"]);
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.stderr, "--insecure");
  const half = await runSd(["serve", "--host", "0.0.0.0", "--port", "0"], { SD_TOKEN: TOKEN });
  assertEquals(half.code, 2);
  const short = await runSd(["serve", "--port", "0"], { SD_TOKEN: "short" });
  assertEquals(short.code, 2);
  assertStringIncludes(short.stderr, "16 characters");
});
