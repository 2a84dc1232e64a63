/** Where sd keeps what must outlive it, for this user: the store, and the secrets of its servers. */

/** The directory; it may not exist yet. */
export function stateDir(): string {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ".";
  switch (Deno.build.os) {
    case "windows":
      return `${Deno.env.get("LOCALAPPDATA") ?? `${home}\\AppData\\Local`}\\sd`;
    case "darwin":
      return `${home}/Library/Application Support/sd`;
    default:
      return `${Deno.env.get("XDG_STATE_HOME") || `${home}/.local/state`}/sd`;
  }
}

/** The file in which the server on `port` leaves the secret for workers of the same user. */
export function poolSecretFile(port: number): string {
  return `${stateDir()}${Deno.build.os === "windows" ? "\\" : "/"}pool-${port}.secret`;
}
