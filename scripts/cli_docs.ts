/**
 * `deno task docs:cli`: prints two parts into `docs/cli.md`, between its marks: the scenes of `cli_scenes.ts`, played
 * with a real server on a terminal of 80 columns, and the help of every command. It needs `script` of util-linux for the
 * terminal.
 */

import { defineCommand } from "../cli/command.ts";
import { commandHelp } from "../cli/help.ts";
import { selfCommand } from "../cli/pool/self_command.ts";
import { CLIENT_FLAGS } from "../cli/server_flags.ts";
import { GROUPS } from "../main.ts";
import { FILES, type Scene, SCENES } from "./cli_scenes.ts";

const DOCUMENT = new URL("../docs/cli.md", import.meta.url);
const COLUMNS = 80;
const SHOWN_SERVER = "127.0.0.1:5000";
/** Deno prints this, from source, while another process uses its cache. */
const OF_THE_RUNTIME = /^Failed to open cache file /;
const PLAIN = { heading: (text: string) => text, columns: COLUMNS };

/** The two parts, with the marks around them. */
const PARTS = {
  scenes: ["<!-- scenes: printed by `deno task docs:cli` -->\n", "<!-- end of scenes -->\n"],
  reference: [
    "<!-- reference: printed by `deno task docs:cli` -->\n",
    "<!-- end of reference -->\n",
  ],
} as const;

export type Part = keyof typeof PARTS;

export function readDocument(): string {
  return Deno.readTextFileSync(DOCUMENT);
}

/** The text between the marks of `part`. */
export function partOf(document: string, part: Part): string {
  return split(document, part).inside;
}

function withPart(document: string, { part, text }: { part: Part; text: string }): string {
  const { before, after } = split(document, part);
  return `${before}${text}${after}`;
}

function split(document: string, part: Part) {
  const [begin, end] = PARTS[part];
  const [before, rest] = document.split(begin);
  const [inside, after] = rest?.split(end) ?? [];
  if (before === undefined || inside === undefined || after === undefined) {
    throw new Error(`docs/cli.md has lost its marks ${begin.trim()} and ${end.trim()}`);
  }
  return { before: before + begin, inside, after: end + after };
}

/** The help of every command. The flags that all commands share come first, and only there. */
export async function reference(): Promise<string> {
  const common = defineCommand({
    name: "COMMAND",
    summary: "flags of every command that connects to a server",
    flags: CLIENT_FLAGS,
    examples: [],
    run: () => Promise.resolve(0),
  });
  const parts = [`### Flags of every command\n\n${fenced(commandHelp(common, PLAIN))}`];
  for (const [name, { load }] of GROUPS.flatMap(([, entries]) => Object.entries(entries))) {
    const command = await load();
    const own = Object.entries(command.flags).filter(([flag, spec]) => spec !== common.flags[flag]);
    const help = commandHelp({ ...command, flags: Object.fromEntries(own) }, PLAIN);
    parts.push(`### sd ${name}\n\n${fenced(help)}`);
  }
  return `\n${parts.join("\n\n")}\n\n`;
}

function fenced(text: string): string {
  return "```\n" + text + "\n```";
}

/** Plays every scene, and returns the text for the document. */
async function playedScenes(): Promise<string> {
  await using stage = await Stage.open();
  const parts = [
    `### The server\n\nThe server logs its address, its workers, and that it hands out tasks.\n\n${
      fenced(["$ sd serve --workers 2", ...stage.said].join("\n"))
    }`,
  ];
  for (const scene of SCENES) parts.push(await played(stage, scene));
  return `\n${parts.join("\n\n")}\n\n`;
}

async function played(stage: Stage, { title, text, lines }: Scene): Promise<string> {
  const turns: string[] = [];
  for (const line of lines) turns.push(await stage.type(line));
  return `### ${title}\n\n${text}\n\n${fenced(turns.join("\n"))}`;
}

/** A line as a person sees it in the end: `\r` goes back to its start, `ESC[K` clears the rest of the line. */
function asSeen(line: string): string {
  let seen = "";
  let at = 0;
  // deno-lint-ignore no-control-regex
  for (const [piece] of line.matchAll(/\r|\x1b\[K|[^\r\x1b]+/g)) {
    if (piece === "\r") at = 0;
    else if (piece === "\x1b[K") seen = seen.slice(0, at);
    else {
      seen = seen.slice(0, at) + piece + seen.slice(at + piece.length);
      at += piece.length;
    }
  }
  return seen;
}

/** A server, a terminal, and a folder that is also the home directory. */
class Stage implements AsyncDisposable {
  readonly #server: Deno.ChildProcess;

  private constructor(
    server: Deno.ChildProcess,
    readonly folder: string,
    readonly address: string,
    readonly said: readonly string[],
  ) {
    this.#server = server;
  }

  static async open(): Promise<Stage> {
    const folder = await Deno.makeTempDir({ prefix: "sd-docs-" });
    for (const [name, text] of Object.entries(FILES)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const { path, args } = selfCommand([]);
    const words = [path, ...args].map((word) => `'${word}'`).join(" ");
    await Deno.writeTextFile(`${folder}/sd`, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    const server = new Deno.Command(`${folder}/sd`, {
      args: ["serve", "--port", "0", "--workers", "2"],
      env: environment(folder),
      stderr: "piped",
    }).spawn();
    const said: string[] = [];
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of server.stderr.values({ preventCancel: true })) {
      text += decoder.decode(chunk, { stream: true });
      if (text.includes("[dispatcher]")) break;
    }
    const address = /listening on (\S+)/.exec(text)?.[1] ?? "";
    said.push(...text.trim().replaceAll(address, SHOWN_SERVER).split("\n"));
    return new Stage(server, folder, address, said);
  }

  /** Runs a line; returns the line, its output, and its exit code if that is not 0. */
  async type(line: string): Promise<string> {
    const inner = `stty cols ${COLUMNS} rows 40 -onlcr; ${line}`;
    const { code, stdout } = await new Deno.Command("script", {
      args: ["-qec", inner, "/dev/null"],
      cwd: this.folder,
      env: environment(this.folder, this.address),
      stdin: "null",
    }).output();
    const shown = new TextDecoder().decode(stdout).replaceAll("\r\n", "\n").split("\n")
      .map(asSeen).filter((line) => !OF_THE_RUNTIME.test(line)).join("\n").trimEnd()
      .replaceAll(this.address, SHOWN_SERVER)
      .replace(", by SD_SERVER", ", by default")
      .replaceAll(this.folder, "~");
    return [`$ ${line}`, shown, code === 0 ? "" : `(exit ${code})`].filter((part) => part !== "")
      .join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.kill("SIGTERM");
    await this.#server.status;
    await this.#server.stderr.cancel();
    await Deno.remove(this.folder, { recursive: true });
  }
}

function environment(folder: string, server?: string): Record<string, string> {
  return {
    HOME: folder,
    // Without this variable the runtime looks for its cache below HOME.
    DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
    PATH: `${folder}:${Deno.env.get("PATH")}`,
    SHELL: "/bin/sh",
    TERM: "xterm",
    NO_COLOR: "1",
    LC_ALL: "C.UTF-8",
    XDG_STATE_HOME: "",
    XDG_CONFIG_HOME: "",
    SD_DATA: "",
    SD_CONTEXT: "",
    SD_TOKEN: "",
    SD_SERVER: server ?? "",
  };
}

if (import.meta.main) {
  let document = readDocument();
  document = withPart(document, { part: "reference", text: await reference() });
  document = withPart(document, { part: "scenes", text: await playedScenes() });
  Deno.writeTextFileSync(DOCUMENT, document);
}
