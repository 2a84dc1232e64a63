/** A disk of a few MiB that only the processes started on it see: a tmpfs in a mount namespace of its own. */

import { TextLineStream } from "@std/streams/text-line-stream";

export class SmallDisk implements AsyncDisposable {
  readonly #keeper: Deno.ChildProcess;
  readonly #errors: Promise<string>;

  private constructor(readonly folder: string, keeper: Deno.ChildProcess, errors: Promise<string>) {
    this.#keeper = keeper;
    this.#errors = errors;
  }

  /** Answers the reason where this machine or this user cannot have one. */
  static async mount(folder: string, mib: number): Promise<SmallDisk | string> {
    // The namespace lasts as long as `cat`, and that as long as this process holds its stdin.
    const script = `mount -t tmpfs -o size=${mib}m tmpfs "$1" && echo mounted && exec cat`;
    let keeper: Deno.ChildProcess;
    try {
      keeper = new Deno.Command("unshare", {
        args: ["--mount", "sh", "-c", script, "sh", folder],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "there is no program unshare";
      throw error;
    }
    const disk = new SmallDisk(folder, keeper, keeper.stderr.text());
    const reader = keeper.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream()).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    if (value === "mounted") return disk;
    await disk[Symbol.asyncDispose]();
    return `a tmpfs cannot be mounted: ${await disk.#errors}`;
  }

  /** Makes of a command one that sees the disk. */
  get through(): string[] {
    return ["nsenter", `--target=${this.#keeper.pid}`, "--mount", "--"];
  }

  /** Leaves `bytes` of room, at most. */
  async fill(bytes: number): Promise<void> {
    await this.#sh(
      'free=$(($(df --output=avail -B1 "$1" | tail -n 1) - $2)); ' +
        '[ "$free" -le 0 ] || head -c "$free" /dev/zero > "$1/fill"',
      String(bytes),
    );
  }

  async makeRoom(): Promise<void> {
    await this.#sh('rm -f "$1/fill"');
  }

  /** Copies what has this name out of the disk. */
  async copyOut(pattern: string, to: string): Promise<void> {
    await this.#sh(`cp "$1"/${pattern} "$2"`, to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper.stdin.close().catch(() => undefined);
    await this.#keeper.status;
    await this.#errors;
  }

  async #sh(script: string, ...more: string[]): Promise<void> {
    const [path = "", ...args] = [
      ...this.through,
      "sh",
      "-c",
      script,
      "sh",
      this.folder,
      ...more,
    ];
    const { success, stderr } = await new Deno.Command(path, { args, stdout: "null" }).output();
    if (!success) throw new Error(`${script}: ${new TextDecoder().decode(stderr)}`);
  }
}
