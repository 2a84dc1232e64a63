/** In which language a command talks: by its flag, by the locale, and never where a program listens. */

import { assertEquals, assertNotEquals } from "@std/assert";
import {
  CLI_MESSAGES as CLI,
  inLanguage,
  LANGUAGES,
  localeLanguage,
  speak,
} from "../../../cli/messages.ts";
import { TASK_MESSAGES as CLIENT } from "../../../client/commands/base/messages.ts";
import { MESSAGES as SERVER } from "../../../server/messages.ts";

Deno.test("the locale is the first of LC_ALL, LC_MESSAGES and LANG that is set", () => {
  const cases: [Record<string, string>, string][] = [
    [{}, "en"],
    [{ LANG: "es" }, "es"],
    [{ LANG: "es_MX.UTF-8" }, "es"],
    [{ LANG: "ES-ar" }, "es"],
    [{ LANG: "es@euro" }, "es"],
    [{ LANG: "est_EE" }, "en"],
    [{ LANG: "de_DE.UTF-8" }, "en"],
    [{ LANG: "C.UTF-8" }, "en"],
    [{ LANG: "es_ES", LC_MESSAGES: "en_US" }, "en"],
    [{ LANG: "en_US", LC_MESSAGES: "es_ES" }, "es"],
    [{ LANG: "es_ES", LC_ALL: "C" }, "en"],
    [{ LANG: "es_ES", LC_ALL: "", LC_MESSAGES: "" }, "es"],
  ];
  for (const [env, language] of cases) {
    assertEquals(localeLanguage((name) => env[name]), language, JSON.stringify(env));
  }
});

Deno.test("every text exists in every language, and differs between languages", () => {
  const textsOf = (value: unknown): string[] =>
    typeof value === "string"
      ? [value]
      : typeof value === "function"
      ? [value("x", "y")]
      : Object.values(value as object).flatMap(textsOf);
  // "ended" and the like take a list; their texts are seen in the tests of what they are said by.
  const spoken = [CLI, CLIENT, SERVER].map(({ en, es }) => [textsOf(en), textsOf(es)] as const);
  for (const [english, spanish] of spoken) {
    assertEquals(spanish.length, english.length);
    english.forEach((text, i) => assertNotEquals(spanish[i], text));
  }
});

Deno.test("a process uses one language at a time, English by default", () => {
  assertEquals(inLanguage(SERVER).stopped, "stopped");
  const said = LANGUAGES.map((language) => {
    speak(language);
    return inLanguage(SERVER).workersStarted(4);
  });
  speak("en");
  assertEquals(said, ["4 workers started", "4 workers iniciados"]);
});
