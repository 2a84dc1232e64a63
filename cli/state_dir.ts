/**
 * Where sd keeps things for this user: in the state directory what must outlive it (the store, the secrets
 * of its servers), in the configuration directory what the user has chosen.
 */

const SEPARATOR = Deno.build.os === "windows" ? "\\" : "/";

/** The state directory; it may not exist yet. */
export function stateDir(): string {
  switch (Deno.build.os) {
    case "windows":
      return `${Deno.env.get("LOCALAPPDATA") ?? `${homeDir()}\\AppData\\Local`}\\sd`;
    case "darwin":
      return `${homeDir()}/Library/Application Support/sd`;
    default:
      return `${Deno.env.get("XDG_STATE_HOME") || `${homeDir()}/.local/state`}/sd`;
  }
}

/** The configuration directory; it may not exist yet. */
export function configDir(): string {
  const chosen = Deno.env.get("XDG_CONFIG_HOME");
  if (chosen) return `${chosen}${SEPARATOR}sd`;
  switch (Deno.build.os) {
    case "windows":
      return `${Deno.env.get("APPDATA") ?? `${homeDir()}\\AppData\\Roaming`}\\sd`;
    case "darwin":
      return `${homeDir()}/Library/Application Support/sd`;
    default:
      return `${homeDir()}/.config/sd`;
  }
}

/** The file in which the server on `port` leaves the secret for workers of the same user. */
export function poolSecretFile(port: number): string {
  return `${stateDir()}${SEPARATOR}pool-${port}.secret`;
}

/** The file of the named servers. */
export function contextsFile(): string {
  return `${configDir()}${SEPARATOR}contexts.json`;
}

function homeDir(): string {
  return Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ".";
}
