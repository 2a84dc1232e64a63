/** The documents say what the program does, wherever a test can compare the two. */

import { assert, assertEquals } from "@std/assert";
import { FAILURE_CODES, REFUSAL_CODES } from "../../protocol/errors.ts";
import { readClients, withClients } from "../../scripts/client_docs.ts";
import { readDocument, withTranscripts } from "../../scripts/protocol_docs.ts";

Deno.test("docs/protocol.md prints the transcripts that the tests replay", () => {
  const document = readDocument();
  assertEquals(document, withTranscripts(document), "run: deno task docs");
});

Deno.test("docs/clients.md prints the clients that the tests run", () => {
  const document = readClients();
  assertEquals(document, withClients(document), "run: deno task docs");
});

Deno.test("docs/protocol.md tells every error code", () => {
  const document = readDocument();
  const missing = [...REFUSAL_CODES, ...FAILURE_CODES].filter((code) =>
    !new RegExp(`^\\| .*\`${code}\`.* \\|`, "m").test(document)
  );
  assertEquals(missing, []);
});

Deno.test("the README opens with the two commands that do everything", () => {
  const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
  const opening = readme.slice(0, 1500);
  for (const command of ["npx -y deno@2.9.6 task demo", "npx -y deno@2.9.6 task test"]) {
    assert(opening.includes(command), command);
  }
});
