/**
 * How sd starts itself: from the compiled executable, which has its permissions in it, or from source.
 * The one list of permissions; `deno task compile` bakes the same into the executable.
 */

/** Flags of `deno run` and `deno compile` for the whole program; never a prompt. */
export const ENTRY_PERMISSIONS: readonly string[] = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-run",
  "--no-prompt",
  "--unstable-worker-options",
];

/** What task code may be allowed beside that: of worker processes alone, and of the compiled executable. */
export const TASK_PERMISSIONS: readonly string[] = ["--allow-sys", "--allow-ffi"];

/**
 * V8's own limit, a quarter of the machine's memory, ends the whole process, all tasks with it. What a
 * task may take is for the pool to watch, so it has to come first. No flag can be set later, nor in the
 * environment of the compiled executable.
 */
export const HEAP_FLAG = "--v8-flags=--max-old-space-size=65536";

/** Of worker processes: what task files import is no business of the lock file of sd, and was fetched before. */
export const POOL_FLAGS_OF_DENO: readonly string[] = [
  ...TASK_PERMISSIONS,
  HEAP_FLAG,
  "--no-lock",
  "--cached-only",
];

/** What `deno compile` cannot find by imports: the code of web workers, and the files that `sd init` writes. */
export const COMPILE_INCLUDES: readonly string[] = [
  "workers/worker.ts",
  "server/engine/sqlite/file/store_thread.ts",
  "examples/starter",
];

/**
 * The command that runs sd with `args`, as this process was run, and with `flags` of `deno run` beside; by the
 * executable at `path`, which must be the one that runs this process, or a copy of it.
 */
export function selfCommand(
  args: readonly string[],
  flags: readonly string[] = [],
  path = Deno.execPath(),
): { path: string; args: string[] } {
  if (Deno.build.standalone) return { path, args: [...args] };
  const main = new URL("../../main.ts", import.meta.url);
  return {
    path,
    args: [
      "run",
      "--quiet",
      ...ENTRY_PERMISSIONS,
      ...flags,
      ...configFlags(),
      main.href,
      ...args,
    ],
  };
}

/** The command by which Deno fetches what `files`, absolute paths, import, to where a worker process looks for it. */
export function fetchCommand(files: readonly string[]): { path: string; args: string[] } {
  const args = ["cache", "--quiet", "--no-lock", ...configFlags(), ...files];
  return { path: Deno.execPath(), args };
}

/** Where sd does not run from a folder the imports of its deno.json are resolved already. */
function configFlags(): string[] {
  const config = new URL("../../deno.json", import.meta.url);
  return config.protocol === "file:" ? ["--config", pathOf(config)] : [];
}

function pathOf(url: URL): string {
  const path = decodeURIComponent(url.pathname);
  return Deno.build.os === "windows" ? path.slice(1).replaceAll("/", "\\") : path;
}

/**
 * Variables that the program and its runtime need. All others stay behind: the server's environment
 * may hold secrets, and a worker process has no use for them.
 */
const KEPT_VARIABLES = [
  "HOME",
  "PATH",
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "TMPDIR",
  "LANG",
  "NO_COLOR",
  "TZ",
  // Where packages that task files import come from, and by which way.
  "NPM_CONFIG_REGISTRY",
  "JSR_URL",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
  "NODE_EXTRA_CA_CERTS",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  // Windows does not start a program without these.
  "SystemRoot",
  "SystemDrive",
  "USERPROFILE",
  "LOCALAPPDATA",
  "APPDATA",
  "TEMP",
  "TMP",
];

/** The environment of a process that sd starts from itself. */
export function selfEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of KEPT_VARIABLES) {
    const value = Deno.env.get(name);
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}
