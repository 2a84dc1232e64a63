/**
 * The languages of the texts for people, and the texts of every command. Each room that prints for people has a
 * catalogue of its own, `messages.ts`: one object for each language, all of one type, so that a text without its
 * translation does not compile. Programs read English in every language: stdout, `--json`, logs in JSON.
 */

import type { AnyCode } from "../net/client_error.ts";

export const LANGUAGES = ["en", "es"] as const;
export type Language = typeof LANGUAGES[number];

let spoken: Language = "en";

/** Sets the language of this process. */
export function speak(language: Language): void {
  spoken = language;
}

/** The texts of `catalogue` in the language of this process. */
export function inLanguage<Messages>(catalogue: Record<Language, Messages>): Messages {
  return catalogue[spoken];
}

/** The language of the locale, by the rules of POSIX; English if there is no translation. */
export function localeLanguage(env: (name: string) => string | undefined): Language {
  const locale = env("LC_ALL") || env("LC_MESSAGES") || env("LANG") || "";
  const [name] = locale.toLowerCase().split(/[_.@-]/);
  return LANGUAGES.find((language) => language === name) ?? "en";
}

interface Messages {
  readonly hints: Partial<Record<AnyCode, string>>;
  seeHelp(command: string): string;
}

const ENGLISH_HINTS = {
  unreachable: "start a server with: sd serve",
  unauthorized: "give the token of the server with --token-file FILE, or set SD_TOKEN",
  unknown_op: "list the ops with: sd ops",
  not_found: "list the tasks with: sd ls",
  queue_full: "see the queue with: sd status",
  storage_full: "free space on the server's disk, then try again",
  shutting_down: "try again when the server is back",
  unknown_cmd: "see the server's version with: sd status",
  output_failed: "free space there, or write to another place, then run the command again",
};

const SPANISH_HINTS: Record<keyof typeof ENGLISH_HINTS, string> = {
  unreachable: "arranque un servidor con: sd serve",
  unauthorized: "dé un token del servidor con --token-file, o defina SD_TOKEN",
  unknown_op: "vea las operaciones que hay con: sd ops",
  not_found: "vea las tareas que hay con: sd ls",
  queue_full: "vea qué hay en la cola con: sd status",
  storage_full: "haga sitio en el disco del servidor y pruebe otra vez",
  shutting_down: "pruebe otra vez cuando el servidor haya vuelto",
  unknown_cmd: "vea la versión del servidor con: sd status",
  output_failed: "haga sitio allí, o escriba en otro lugar, y ejecute la orden otra vez",
};

export const CLI_MESSAGES: Record<Language, Messages> = {
  en: { hints: ENGLISH_HINTS, seeHelp: (command) => `see: sd ${command} --help` },
  es: { hints: SPANISH_HINTS, seeHelp: (command) => `vea: sd ${command} --help` },
};
