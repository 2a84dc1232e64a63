/** URLs of PostgreSQL: as libpq reads them, and what is refused. No message shows a password. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../../../net/client_error.ts";
import { hasPassword, isSharedEngine, shownEngine } from "../../../../../server/engine/open.ts";
import { passwordIn } from "../../../../../server/engine/postgres/password.ts";
import { parsePostgresUrl } from "../../../../../server/engine/postgres/url.ts";

const NO_ENV = () => undefined;

Deno.test("a whole URL, with everything in it", () => {
  const target = parsePostgresUrl(
    "postgresql://us%40er:p%3Aa%2Fss@db1:5433,db2,[::1]:6000/my%20db?sslmode=verify-full" +
      "&sslrootcert=%2Fetc%2Fca.pem&sslcert=c.pem&sslkey=k.pem&schema=sd_2" +
      "&application_name=orders&connect_timeout=7&target_session_attrs=read-write",
  );
  assertEquals(target.hosts, [
    { host: "db1", port: 5433 },
    { host: "db2", port: 5432 },
    { host: "::1", port: 6000 },
  ]);
  assertEquals([target.user, target.password, target.database], ["us@er", "p:a/ss", "my db"]);
  assertEquals([target.schema, target.applicationName], ["sd_2", "orders"]);
  assertEquals(target.connectTimeoutMs, 7000);
  assertEquals(target.tls, {
    mode: "verify-full",
    rootCert: "/etc/ca.pem",
    cert: "c.pem",
    key: "k.pem",
  });
  assertEquals(target.label, "postgres://us@er@db1:5433,db2:5432,[::1]:6000/my db");
});

Deno.test("what a URL leaves out comes from the environment of libpq, or from its defaults", () => {
  const short = parsePostgresUrl("postgres://", NO_ENV);
  assertEquals(short.hosts, [{ host: "localhost", port: 5432 }]);
  assertEquals([short.user, short.database, short.schema], ["postgres", "postgres", "sd"]);
  assertEquals([short.tls.mode, short.password], ["prefer", undefined]);
  const env: Record<string, string> = {
    PGHOST: "a,b",
    PGPORT: "1,2",
    PGUSER: "me",
    PGDATABASE: "d",
    PGSSLMODE: "require",
  };
  const given = parsePostgresUrl("postgres:///", (name) => env[name]);
  assertEquals(given.hosts, [{ host: "a", port: 1 }, { host: "b", port: 2 }]);
  assertEquals([given.user, given.database, given.tls.mode], ["me", "d", "require"]);
  assertEquals(parsePostgresUrl("postgres://x@/d", NO_ENV).hosts[0]!.host, "localhost");
});

Deno.test("a Unix socket is a host with a slash, in the place of the host or as a parameter", () => {
  for (const url of ["postgres://u@%2Frun%2Fpg/d", "postgres://u@/d?host=/run/pg"]) {
    assertEquals(parsePostgresUrl(url, NO_ENV).hosts, [{ host: "/run/pg", port: 5432 }]);
  }
  assertEquals(
    parsePostgresUrl("postgres:///d?host=a,b&port=7,8&user=u&password=p%26w", NO_ENV).password,
    "p&w",
  );
});

Deno.test("TLS modes as in libpq: with a certificate of its authority, require checks it", () => {
  const mode = (query: string) => parsePostgresUrl(`postgres://h/d?${query}`, NO_ENV).tls.mode;
  assertEquals(mode("sslmode=require"), "require");
  assertEquals(mode("sslmode=require&sslrootcert=x"), "verify-ca");
  assertEquals(mode("sslrootcert=system"), "verify-full");
});

Deno.test("URLs that cannot be used are refused, and no refusal shows the password", () => {
  const secret = "hunter2secret";
  for (
    const [url, reason] of [
      [`postgres://u:${secret}@h@x/d`, "%40 for @"],
      [`postgres://u:${secret}/x@h/d`, ""],
      [`postgres://u:x?${secret}@h/d`, "%3F for ?"],
      [`postgres://u:x?${secret}&a@h/d`, "%3F for ?"],
      [`postgres://u:${secret}`, "a password stands before an @"],
      [`postgres://[${secret}`, "brackets"],
      [`postgres://u:${secret}#x@h/d`, "%23 for #"],
      [`postgres://u:${secret}%zz@h/d`, "%25 for %"],
      [`postgres://u:${secret}%00@h/d`, "U+0000"],
      [`postgres://u:${secret}@h/d?sslmode=on`, "sslmode"],
      [`postgres://u:${secret}@h/d?shema=x`, "is that schema?"],
      [`postgres://u:${secret}@h/d?options=-c%20x`, "options is not supported"],
      [`postgres://u:${secret}@h/d?schema=SD`, "lower-case"],
      [`postgres://u:${secret}@h/d?schema=a"b`, "lower-case"],
      [`postgres://u:${secret}@h/d?schema=a;drop`, "lower-case"],
      [`postgres://u:${secret}@h/d?schema=${"x".repeat(41)}`, "at most 40"],
      [`postgres://u:${secret}@h/d?schema=`, "lower-case"],
      [`postgres://u:${secret}@h/d?schema=public`, "another name"],
      [`postgres://u:${secret}@h/d?schema=pg_x`, "another name"],
      [`postgres://u:${secret}@h/d?schema=a&schema=b`, "twice"],
      [`postgres://u:${secret}@h/d?sslcert=x`, "belong together"],
      [`postgres://u:${secret}@h/d?sslrootcert=system&sslmode=require`, "verify-full"],
      [`postgres://u:${secret}@h/d?connect_timeout=soon`, "seconds"],
      [`postgres://u:${secret}@h/d?connect_timeout=61`, "seconds"],
      [`postgres://u:${secret}@h/d?target_session_attrs=standby`, "must be read-write"],
      [`postgres://u:${secret}@h/d?channel_binding=require`, "verify-full"],
      [`postgres://u:${secret}@h/d?application_name`, "no value"],
      [`postgres://u:${secret}@h:0/d`, "no number from 1"],
      [`postgres://u:${secret}@h:65536/d`, "no number from 1"],
      [`postgres://u:${secret}@h:5a/d`, "no number from 1"],
      [`postgres://u:${secret}@::1/d`, ""],
      [`postgres://u:${secret}@h/d?host=x`, "twice"],
      [`postgres://u:${secret}@a,b/d?port=1,2,3`, "2 hosts and 3 ports"],
      [`postgres://u:${secret}@${"h,".repeat(16)}h/d`, "the limit is 16"],
      [`postgres://u:${secret}@h/d x`, ""],
      [`postgres://u:${secret}@h/d\n`, ""],
      [`postgres:u:${secret}@h/d`, ""],
    ] as const
  ) {
    const error = assertThrows(() => parsePostgresUrl(url, NO_ENV), ClientError, reason);
    const text = `${error.message} ${error.hint}`;
    assert(!text.includes(secret) && !text.includes("hunter"), `${url}: ${text}`);
    assertEquals(error.code, "usage");
  }
});

Deno.test("the label of a URL has no password and no parameters", () => {
  const { label } = parsePostgresUrl("postgres://u:secret@h/d?password=&application_name=x");
  assertEquals(label, "postgres://u@h:5432/d");
});

Deno.test("only shared engines are shown in part, and never with what may be a password", () => {
  for (const url of ["sqlite:", "sqlite:/x/y.db", "memory:", "mysql:x"]) {
    assertEquals([isSharedEngine(url), shownEngine(url)], [false, url]);
  }
  for (
    const [url, shown] of [
      ["postgres://u:secret@h:1,i/d?password=secret", "postgres://h:1,i"],
      ["postgresql://h/d?password=sec@ret", "postgresql://…"],
      ["postgres://u:sec?ret@h/d", "postgres://…"],
      ["postgres://u:sec/ret@h/d", "postgres://h"],
      ["postgres://u:sec@ret@[::1]:5/d", "postgres://[::1]:5"],
      ["postgres://user:secret", "postgres://…"],
      ["postgres:secret", "postgres://secret"],
      ["redis://:secret@h:6379/0", "redis://h:6379"],
      ["rediss+sentinel://u:secret@a:1,b:2/m", "rediss+sentinel://a:1,b:2"],
    ] as const
  ) assertEquals([isSharedEngine(url), shownEngine(url)], [true, shown]);
  assert(isSharedEngine("postgresql://x") && !isSharedEngine("sqlite:x"));
});

Deno.test("a URL with a password is known as one", () => {
  for (
    const [url, has] of [
      ["postgres://u:p@h/d", true],
      ["postgres://u:a/b@h/d", true],
      ["postgres://h/d?password=x", true],
      ["redis://:p@h:6379", true],
      ["postgres://u@h:5432/d?sslmode=require", false],
      ["postgres://h1:1,h2:2/d", false],
      ["postgres://u:@h/d", false],
      ["redis://h:6379/0", false],
      ["sqlite:/a:b@c", false],
    ] as const
  ) assertEquals(`${url} ${hasPassword(url)}`, `${url} ${has}`);
});

Deno.test("the password file of libpq: the first line that fits, with * for anything, and backslashes", () => {
  const text = "# comment\nother:5432:d:u:no\n*:5432:*:u:p\\:a\\\\ss:word\r\n*:*:*:*:last\n";
  const target = { database: "d", user: "u" };
  assertEquals(passwordIn(text, { host: { host: "h", port: 5432 }, target }), "p:a\\ss:word");
  assertEquals(passwordIn(text, { host: { host: "h", port: 1 }, target }), "last");
  assertEquals(passwordIn(text, { host: { host: "other", port: 5432 }, target }), "no");
  assertEquals(passwordIn("h:1:d:u", { host: { host: "h", port: 1 }, target }), undefined);
  const escaped = "h\\:x:1:d:u:p\n";
  assertEquals(passwordIn(escaped, { host: { host: "h:x", port: 1 }, target }), "p");
});
