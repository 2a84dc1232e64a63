/** Tokens: who does not know one is told so and closed, whatever they sent; who does is served. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connect, SdError } from "../../client/mod.ts";
import { MAX_LINE_BYTES_BEFORE_HELLO } from "../../server/limits.ts";
import { runSd, SdServe } from "../sd_process.ts";
import { TestServer } from "../test_server.ts";

const TOKEN = "a-token-of-32-characters-exactly";
const OTHER = "another-token-of-the-same-server";

Deno.test("before hello with a token nothing is done, and the connection is closed", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN, OTHER] });
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

Deno.test("a first line may be 4 KiB long before hello, and not a byte longer", async () => {
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

Deno.test("the client library says hello by itself, and tells a wrong token from no server", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN] });
  await using client = await connect({ ...server.address, token: TOKEN });
  const task = await client.submit("square", { n: 7 });
  assertEquals(await task.result, 49);
  for (const token of ["wrong", ""]) {
    const error = await assertRejects(() => connect({ ...server.address, token }), SdError);
    assertEquals(error.code, "unauthorized");
  }
});

Deno.test("without tokens a hello with one is as good as any", async () => {
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

Deno.test("an address that others can reach needs a token and TLS, or --insecure", async () => {
  const refused = await runSd(["serve", "--host", "0.0.0.0", "--port", "0"]);
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.stderr, "--insecure");
  const half = await runSd(["serve", "--host", "0.0.0.0", "--port", "0"], { SD_TOKEN: TOKEN });
  assertEquals(half.code, 2);
  const short = await runSd(["serve", "--port", "0"], { SD_TOKEN: "short" });
  assertEquals(short.code, 2);
  assertStringIncludes(short.stderr, "16 characters");
});
