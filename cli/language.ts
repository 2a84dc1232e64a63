/**
 * The language in which a command talks to people. Every room that speaks has its texts in a catalogue of
 * its own, `messages.ts`: one object per language, all of one type, so that a text without its translation
 * does not compile. What programs read (stdout, `--json`, logs in JSON) is English whatever the language.
 */

export const LANGUAGES = ["en", "es"] as const;
export type Language = typeof LANGUAGES[number];

let spoken: Language = "en";

/** From now on this process talks so. */
export function speak(language: Language): void {
  spoken = language;
}

/** The texts of a catalogue in the language of this process. */
export function inLanguage<Messages>(catalogue: Record<Language, Messages>): Messages {
  return catalogue[spoken];
}

/** The language of the locale, as POSIX finds it; English where we have no other. */
export function localeLanguage(env: (name: string) => string | undefined): Language {
  const locale = env("LC_ALL") || env("LC_MESSAGES") || env("LANG") || "";
  const [name] = locale.toLowerCase().split(/[_.@-]/);
  return LANGUAGES.find((language) => language === name) ?? "en";
}
