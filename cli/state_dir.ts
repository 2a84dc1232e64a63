/**
 * Where sd keeps things for this user: in the state directory what must outlive it (the store, the secrets
 * of its servers), in the configuration directory what the user has chosen. Only absolute paths count, as
 * the XDG specification says, and the working directory never does: a service manager sets no HOME, or an
 * empty one, and then the home of the user in the system's own list is taken.
 */

import { ClientError } from "../net/client_error.ts";

const IS_WINDOWS = Deno.build.os === "windows";
const SEPARATOR = IS_WINDOWS ? "\\" : "/";
/** Prints the home that the system has for this user; quotes nothing, so it takes plain names alone. */
const FIND_HOME = `n=$(id -un) && case $n in ""|*[!A-Za-z0-9._-]*) ;; *) eval echo "~$n" ;; esac`;

/** The state directory; it may not exist yet. Throws `usage` where there is none. */
export function stateDir(): string {
  const folder = stateDirIfAny();
  if (folder !== undefined) return folder;
  throw new ClientError("usage", `there is no state directory: ${NO_HOME}`, {
    hint: NO_HOME_CURE,
  });
}

/** The state directory; `undefined` where there is none. */
export function stateDirIfAny(): string | undefined {
  switch (Deno.build.os) {
    case "windows":
      return within(absolute("LOCALAPPDATA"), "sd") ?? within(homeDir(), "AppData\\Local\\sd");
    case "darwin":
      return within(homeDir(), "Library/Application Support/sd");
    default:
      return within(absolute("XDG_STATE_HOME"), "sd") ?? within(homeDir(), ".local/state/sd");
  }
}

/** The configuration directory; it may not exist yet. `undefined` where there is none. */
export function configDir(): string | undefined {
  const chosen = within(absolute("XDG_CONFIG_HOME"), "sd");
  if (chosen !== undefined) return chosen;
  switch (Deno.build.os) {
    case "windows":
      return within(absolute("APPDATA"), "sd") ?? within(homeDir(), "AppData\\Roaming\\sd");
    case "darwin":
      return within(homeDir(), "Library/Application Support/sd");
    default:
      return within(homeDir(), ".config/sd");
  }
}

/** The file in which the server on `port` leaves the secret for workers of the same user. Throws `usage`. */
export function poolSecretFile(port: number): string {
  return `${stateDir()}${SEPARATOR}pool-${port}.secret`;
}

/** The file of the named servers; `undefined` where there can be none. */
export function contextsFile(): string | undefined {
  return within(configDir(), "contexts.json");
}

/** Why there is neither a state directory nor a configuration directory. */
export const NO_HOME =
  "HOME is not set to an absolute path, and the system has no home for this user";

export const NO_HOME_CURE =
  "set HOME or XDG_STATE_HOME to an absolute path; sd serve also takes --data DIR, and sd work --secret-file FILE";

function within(folder: string | undefined, name: string): string | undefined {
  if (folder === undefined) return undefined;
  return folder.endsWith(SEPARATOR) ? folder + name : `${folder}${SEPARATOR}${name}`;
}

/** The variable `name`, if it is an absolute path. */
function absolute(name: string): string | undefined {
  const path = Deno.env.get(name) ?? "";
  return (IS_WINDOWS ? /^([A-Za-z]:[\\/]|\\\\)/ : /^\//).test(path) ? path : undefined;
}

function homeDir(): string | undefined {
  const named = absolute(IS_WINDOWS ? "USERPROFILE" : "HOME") ??
    (IS_WINDOWS ? absolute("HOME") : undefined);
  // Service managers say "/" for a user without a home.
  return named !== undefined && named !== "/" ? named : systemHome();
}

let systemHomes: { path: string | undefined } | undefined;

/** The home that the system has for this user; asked once. */
function systemHome(): string | undefined {
  return (systemHomes ??= { path: IS_WINDOWS ? undefined : askSystem() }).path;
}

function askSystem(): string | undefined {
  try {
    const command = new Deno.Command("sh", {
      args: ["-c", FIND_HOME],
      stdin: "null",
      stderr: "null",
    });
    const path = new TextDecoder().decode(command.outputSync().stdout).trim();
    return path.startsWith("/") && path !== "/" ? path : undefined;
  } catch {
    // There is no shell here.
    return undefined;
  }
}
