/**
 * A separate Deno cache for a program whose files must not grow (`ulimit -f`). In the usual cache, its databases would be
 * cut off in the middle of a write, and so be damaged for every later program.
 */

export class OwnCache implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "sd-cache-" });

  constructor() {
    const { stdout } = new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).outputSync();
    const { npmCache } = JSON.parse(new TextDecoder().decode(stdout)) as { npmCache: string };
    // Packages are there already, and nothing is written beside them.
    Deno.symlinkSync(npmCache, `${this.#folder}/npm`);
  }

  /** For the program. */
  get env(): Record<string, string> {
    return { DENO_DIR: this.#folder };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
