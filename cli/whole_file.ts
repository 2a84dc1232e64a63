/** Writes a small file whole or not at all: beside its place first, then renamed once it is on disk. */

/** Writes `text` to `path`. If that fails, the old file stays, and no temporary file is left. */
export function writeWholeFile(path: string, text: string, { mode }: { mode?: number } = {}): void {
  const target = linkedFile(path);
  const part = `${target}.${Deno.pid}.part`;
  const options = {
    create: true,
    write: true,
    truncate: true,
    ...(mode === undefined ? {} : { mode }),
  };
  const file = Deno.openSync(part, options);
  let isWhole = false;
  try {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncSync();
    Deno.renameSync(part, target);
    isWhole = true;
  } finally {
    file.close();
    if (!isWhole) Deno.removeSync(part);
  }
}

/** The target of `path`, so that a link stays a link. */
function linkedFile(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw error;
  }
}
