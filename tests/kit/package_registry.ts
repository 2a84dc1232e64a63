/** A registry of small packages, on loopback, which keeps in mind what it was asked for. */

import { createHash } from "node:crypto";

const SCOPE = "@sd-test";

export class PackageRegistry implements AsyncDisposable {
  /** The paths of all requests, in order. */
  readonly asked: string[] = [];
  readonly #folder = Deno.makeTempDirSync({ prefix: "sd-registry-" });
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #packages = new Map<string, Uint8Array<ArrayBuffer>>();

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(new URL(request.url).pathname),
    );
    // A home folder that sets this registry for one scope, and leaves the usual one for all others.
    Deno.writeTextFileSync(`${this.#folder}/.npmrc`, `${SCOPE}:registry=${this.#url}\n`);
  }

  /** The environment of a program that looks for its packages here. */
  get env(): Record<string, string> {
    return { HOME: this.#folder, DENO_DIR: CACHE };
  }

  get #url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** From now on it has a package of this name, whose module has this text. Returns what imports it. */
  async add(name: string, module: string): Promise<string> {
    const folder = `${this.#folder}/${name}`;
    await Deno.mkdir(`${folder}/package`, { recursive: true });
    const manifest = {
      name: `${SCOPE}/${name}`,
      version: "1.0.0",
      type: "module",
      exports: "./m.js",
    };
    await Deno.writeTextFile(`${folder}/package/package.json`, JSON.stringify(manifest));
    await Deno.writeTextFile(`${folder}/package/m.js`, module);
    const tar = new Deno.Command("tar", { args: ["-czf", "p.tgz", "package"], cwd: folder });
    if (!(await tar.output()).success) throw new Error("tar failed");
    this.#packages.set(name, await Deno.readFile(`${folder}/p.tgz`));
    return `npm:${SCOPE}/${name}@1.0.0`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.#folder, { recursive: true });
    const kept = `${CACHE}/npm/127.0.0.1_${this.#server.addr.port}`;
    await Deno.remove(kept, { recursive: true }).catch((error: unknown) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  #answer(path: string): Response {
    const decoded = decodeURIComponent(path);
    this.asked.push(decoded);
    const [, name = "", file] = /^\/@sd-test\/([^/]+)(\/p\.tgz)?$/.exec(decoded) ?? [];
    const tarball = this.#packages.get(name);
    if (!tarball) return new Response("{}", { status: 404 });
    if (file) return new Response(tarball);
    const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
    return Response.json({
      name: `${SCOPE}/${name}`,
      "dist-tags": { latest: "1.0.0" },
      versions: {
        "1.0.0": {
          name: `${SCOPE}/${name}`,
          version: "1.0.0",
          dist: { tarball: `${this.#url}/${SCOPE}/${name}/p.tgz`, integrity },
        },
      },
    });
  }
}

/** Where Deno keeps what it has fetched. */
const CACHE = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
