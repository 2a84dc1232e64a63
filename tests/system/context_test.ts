/** `sd context`, and the commands that go where it says; what they say in Spanish, and how wide. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isInstalled, needing } from "../kit/needs.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { onTerminal } from "../kit/terminal.ts";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { TestServer } from "../kit/test_server.ts";

const TOKEN = "a-token-of-more-than-16";

Deno.test("a context is added, used, shown and removed, and commands follow it", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN] });
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  try {
    const env = { XDG_CONFIG_HOME: folder, PROD_TOKEN: TOKEN };
    const sd = (...args: string[]) => runSd(args, env);
    const address = `127.0.0.1:${server.address.port}`;
    await Deno.writeTextFile(`${folder}/token`, `${TOKEN}\n`);
    const add = ["context", "add", "prod", "--server", address];

    assertEquals((await sd("status", "--context", "prod")).code, 2);
    assertEquals((await sd(...add, "--token-env", "PROD_TOKEN")).code, 0);
    assertEquals((await sd(...add, "--token-env", "PROD_TOKEN")).code, 0, "the same again");
    const other = await sd(...add, "--token-file", `${folder}/token`);
    assertEquals(other.code, 2);
    assertStringIncludes(other.stderr, "--force");
    assertEquals((await sd("submit", "--context", "prod", "hello")).stdout, "hello\n");

    assertEquals((await sd(...add, "--token-file", `${folder}/token`, "--force")).code, 0);
    assertEquals((await sd("context", "use", "prod")).code, 0);
    assertEquals((await sd("submit", "hello")).stdout, "hello\n");
    const shown = JSON.parse((await sd("context", "show", "--json")).stdout).data;
    assertEquals(shown, {
      context: "prod",
      current: true,
      server: address,
      token_file: `${folder}/token`,
    });
    // The same server by its address: the token is not for whatever is named.
    assertEquals((await sd("status", "--server", address)).code, 4);
    const warned = await runSd(["context", "use", "prod"], { ...env, SD_SERVER: "x:1" });
    assertStringIncludes(warned.stderr, "but SD_SERVER is set here");

    assertEquals((await sd("context", "rm", "prod")).code, 0);
    assertEquals((await sd("context", "show", "--json")).stdout.includes('"default"'), true);
    assertEquals((await sd("context", "rm", "prod")).code, 2);
    assertEquals((await sd("context", "rm", "default")).code, 2);
    assertEquals((await sd("context", "add", "default", "--server", address)).code, 2);
    assertEquals((await sd("context", "add", "x")).code, 2);
    assertEquals((await sd("context", "ad", "x")).stderr.includes("sd context add"), true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("serve and submit use Spanish in a Spanish locale, and English for programs", async () => {
  const spanish = { LC_ALL: "es_ES.UTF-8" };
  await using server = await TestServer.start({ workers: 1 });
  const env = { ...spanish, SD_SERVER: `127.0.0.1:${server.address.port}` };
  const submit = (...args: string[]) => runSd(["submit", '{"op":"square","n":7}', ...args], env);
  const lines = ({ stderr }: { stderr: string }) => stderr.replace(/id=\S+/, "id=…");
  const english =
    "[client] task queued id=…\n[client] waiting for the result…\n[client] result received\n";
  assertEquals(
    lines(await submit()),
    "[client] tarea encolada id=…\n[client] esperando el resultado…\n[client] resultado recibido\n",
  );
  assertEquals(lines(await submit("--lang", "en")), english);
  assertEquals(lines(await submit("--json")), english);
  assertStringIncludes(
    (await runSd(["submit", "x"], { ...spanish, SD_SERVER: ":1" })).stderr,
    "arranque un servidor",
  );
});

Deno.test("sd serve has a Spanish text for each English one, and its JSON stays English", async () => {
  const { path, args } = selfCommand([
    "serve",
    "--port",
    "0",
    "--workers",
    "2",
    "--engine",
    "memory:",
  ]);
  const start = async (more: string[], last: string) => {
    const child = new Deno.Command(path, {
      args: [...args, ...more],
      env: { NO_COLOR: "1", LC_ALL: "es_AR.UTF-8" },
      stderr: "piped",
    }).spawn();
    let text = "";
    let isTold = false;
    for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (!isTold && text.includes(last)) {
        isTold = true;
        child.kill("SIGTERM");
      }
    }
    assertEquals((await child.status).code, 0);
    return text;
  };
  const told = (await start([], "[dispatcher]")).replace(/\d+\.\d+\.\d+\.\d+:\d+/, "…");
  assertEquals(
    told,
    [
      "[server] escuchando en …",
      "[server] 2 workers iniciados",
      "[dispatcher] iniciado",
      "[server] SIGTERM: parando; las tareas en marcha tienen 10 s para terminar",
      "[server] parado",
      "",
    ].join("\n"),
  );
  const json = await start(["--log-format", "json"], '"dispatcher"');
  assertStringIncludes(json, '"message":"2 workers started"');
  const english = await start(["--lang", "en"], "[dispatcher]");
  assertStringIncludes(english, "[dispatcher] started\n");
});

const withScript = needing("script", await isInstalled("script"));
Deno.test({
  ...withScript("on a terminal tables end at its edge and headings are bold; a pipe gets neither"),
  async fn() {
    await using server = await SdServe.start(["--workers", "1", "--engine", "memory:"]);
    const env = { SD_SERVER: server.server, NO_COLOR: "" };
    await runSd(["submit", "--detach", "--delay", "1h", "hello"], env);
    const { path, args } = selfCommand([]);
    const sd = [path, ...args].map((word) => `'${word}'`).join(" ");
    const width = (text: string) => Math.max(...text.split("\n").map((line) => [...line].length));

    const narrow = await onTerminal(`${sd} ls`, { columns: 50, env });
    assertEquals(width(narrow), 50);
    assert(narrow.split("\n")[1]?.endsWith("…"), narrow);
    const piped = await onTerminal(`${sd} ls | cat`, { columns: 50, env });
    assert(width(piped) > 50 && !piped.includes("…"), piped);

    const bold = "\x1b[1m";
    assert((await onTerminal(`${sd} --help`, { env })).includes(bold));
    assert(!(await onTerminal(`${sd} --help | cat`, { env })).includes(bold));
    const plain = await onTerminal(`${sd} --help`, { columns: 70, env: { ...env, NO_COLOR: "1" } });
    assert(!plain.includes("\x1b") && width(plain) <= 70, plain);
  },
});
