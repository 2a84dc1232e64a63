/** A disk that fails as a test says: system calls of a server are caught on their way, by a library that is built here. */

import { isInstalled } from "../kit/needs.ts";

const EIO = 5;
const ENOSPC = 28;
const ERRNO = { EIO, ENOSPC };

export interface DiskFault {
  readonly call: "write" | "sync" | "cut";
  /** The end of the names of the files that it is about. */
  readonly file: "-wal" | ".db";
  readonly error: keyof typeof ERRNO;
}

export const hasFailingDisk = Deno.build.os === "linux" && await isInstalled("gcc");

export class FailingDisk {
  readonly #orders: string;
  readonly #library: string;

  private constructor(orders: string, library: string) {
    this.#orders = orders;
    this.#library = library;
  }

  /** Builds it in `folder`. */
  static async build(folder: string): Promise<FailingDisk> {
    const library = `${folder}/failing_disk.so`;
    const source = new URL("./failing_disk.c", import.meta.url).pathname;
    const args = ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"];
    const { success, stderr } = await new Deno.Command("gcc", { args }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    const disk = new FailingDisk(`${folder}/faults`, library);
    await disk.fail();
    return disk;
  }

  /** For the process whose calls shall fail. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, FAILING_DISK: this.#orders };
  }

  /** From now on these calls fail, and no others. */
  async fail(...faults: readonly DiskFault[]): Promise<void> {
    const lines = faults.map(({ call, file, error }) => `${call} ${file} ${ERRNO[error]}\n`);
    const next = `${this.#orders}.next`;
    await Deno.writeTextFile(next, lines.join(""));
    await Deno.rename(next, this.#orders);
  }
}
