/** A file of TLS in the URL of an engine that cannot be read: the server says which, whatever the store does. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ClientError } from "../../../../net/client_error.ts";
import { openSharedStore } from "../../../../server/engine/open.ts";

for (
  const [url, parameter] of [
    ["postgres://sd@127.0.0.1:1/test?sslmode=verify-full&sslrootcert=/missing.pem", "sslrootcert"],
    ["postgres://sd@127.0.0.1:1/test?sslmode=require&sslcert=/missing.pem&sslkey=/k", "sslcert"],
    ["rediss://127.0.0.1:1?cafile=/missing.pem", "cafile"],
  ] as const
) {
  Deno.test(`a missing file of ?${parameter} is named in the refusal`, async () => {
    const error = await assertRejects(() => openSharedStore(url), ClientError);
    assertEquals(error.code, "usage", error.message);
    assertStringIncludes(error.message, "cannot read /missing.pem");
    assertStringIncludes(error.message, parameter);
    assertEquals(error.hint, "mend the file, or the option that names it");
  });
}
