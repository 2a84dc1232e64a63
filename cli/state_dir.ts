/**
 * The directories of sd for this user. The state directory holds the store and the secrets of servers; the
 * configuration directory holds the choices of the user. Only absolute paths count, as the XDG specification says,
 * and the working directory never does. Some service managers set no HOME: then the home in the system's list of
 * users is taken.
 */

import { ClientError } from "../net/client_error.ts";

const IS_WINDOWS = Deno.build.os === "windows";
const MAX_NAME_CHARS = 253;
const SEPARATOR = IS_WINDOWS ? "\\" : "/";
/** A shell command that prints the home of this user. It accepts plain names only, since it quotes nothing. */
const FIND_HOME = `n=$(id -un) && case $n in ""|*[!A-Za-z0-9._-]*) ;; *) eval echo "~$n" ;; esac`;

/** The state directory; it may not exist yet. Throws `usage` if none can be found. */
export function stateDir(): string {
  const folder = stateDirIfAny();
  if (folder !== undefined) return folder;
  throw new ClientError("usage", `there is no state directory: ${NO_HOME}`, {
    hint: NO_HOME_CURE,
  });
}

/** The state directory; `undefined` if none can be found. */
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

/** The configuration directory; it may not exist yet. `undefined` if none can be found. */
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

/** The file with the pool secret of the server on `port`, for workers of the same user. Throws `usage`. */
export function poolSecretFile(port: number): string {
  return `${stateDir()}${SEPARATOR}pool-${port}.secret`;
}

/** The name of this machine, for people; `undefined` if it cannot be found. Never longer than a name in the DNS. */
export function machineName(): string | undefined {
  const names = [
    () => Deno.env.get(IS_WINDOWS ? "COMPUTERNAME" : "HOSTNAME"),
    () => IS_WINDOWS ? undefined : Deno.readTextFileSync("/etc/hostname"),
    () =>
      new TextDecoder().decode(
        new Deno.Command("hostname", { stderr: "null" }).outputSync().stdout,
      ),
  ];
  for (const find of names) {
    try {
      const name = find()?.trim().slice(0, MAX_NAME_CHARS);
      if (name) return name;
    } catch {
      // The next way may work.
    }
  }
  return undefined;
}

/** The file of the named servers; `undefined` if there is no configuration directory. */
export function contextsFile(): string | undefined {
  return within(configDir(), "contexts.json");
}

/** The reason for a missing state or configuration directory. */
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
  // Service managers set "/" for a user without a home.
  return named !== undefined && named !== "/" ? named : systemHome();
}

let systemHomes: { path: string | undefined } | undefined;

/** The home of this user in the system's list; looked up once. */
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
    // There is no shell.
    return undefined;
  }
}
