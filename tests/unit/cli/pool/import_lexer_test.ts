/** What a text imports: found wherever it is one, and nowhere where it only looks like one. */

import { assertEquals } from "@std/assert";
import { findImports } from "../../../../cli/pool/import_lexer.ts";

const plain = (text: string) => findImports(text, { jsx: false });
const withJsx = (text: string) => findImports(text, { jsx: true });

Deno.test("every way to write an import is found, whatever stands between its words", () => {
  const texts: [string, string[]][] = [
    ['import a from "./1.ts"; import{b}from\'./2.ts\'; import * as c from\n"./3.js"', [
      ...["./1.ts", "./2.ts", "./3.js"],
    ]],
    ['import "./1.ts"; import d, { e } from "./2.ts"; import {} from "./3.ts"', [
      ...["./1.ts", "./2.ts", "./3.ts"],
    ]],
    ['export * from "./1.ts"; export { f } from "./2.ts"; export * as n from "./3.ts"', [
      ...["./1.ts", "./2.ts", "./3.ts"],
    ]],
    ['import type { T } from "./1.ts"; export type { U } from "./2.ts"', ["./1.ts", "./2.ts"]],
    ['import from from "./1.ts"; import type from "./2.ts"; import { from } from "./3.ts"', [
      ...["./1.ts", "./2.ts", "./3.ts"],
    ]],
    ['import { "a b" as c } from "./1.ts"; export { d as "e from" } from "./2.ts"', [
      ...["./1.ts", "./2.ts"],
    ]],
    ['import /* from "x" */ a /* y */ from // "z"\n "./1.ts"', ["./1.ts"]],
    ["const a = await import('./1.ts'); import( `./2.ts` ).then(b)", ["./1.ts", "./2.ts"]],
    [
      'import("./1.json", { with: { type: "json" } }); import a from "./2.json" with { type: "json" }',
      [
        ...["./1.json", "./2.json"],
      ],
    ],
    ['import a = require("./1.cjs"); export import b = require("./2.cjs")', [
      ...["./1.cjs", "./2.cjs"],
    ]],
    ['import defer * as a from "./1.js"; import.defer("./2.js"); import source b from "./3.wasm"', [
      ...["./1.js", "./2.js", "./3.wasm"],
    ]],
    ['type A = import("./1.ts").B; class C<T extends import("./2.ts").D> {}', ["./1.ts", "./2.ts"]],
    ['import "./\\u0061.js"; import "./b\\x2ejs"; import "./c\\\n.js"', [
      "./a.js",
      "./b.js",
      "./c.js",
    ]],
    ['const t = `${await import("./1.js")} ${`${import("./2.js")}`}`', ["./1.js", "./2.js"]],
    ['#!/usr/bin/env -S import "x"\nimport "./1.js"', ["./1.js"]],
    ['const r = /[/"\']/g; import("./1.js")', ["./1.js"]],
    ['if (a) /"/.test(b); import("./1.js"); x = y / 2 / "z".length; import("./2.js")', [
      ...["./1.js", "./2.js"],
    ]],
    ['const d = a! / 2; const e = b++ / 2; const f = { g: 1 } / 2; import("./1.ts")', ["./1.ts"]],
    ["export const a = 1\nimport b from './1.js'\nvar c = b", ["./1.js"]],
  ];
  for (const [text, found] of texts) assertEquals(plain(text), found, text);
});

Deno.test("text that only looks like an import is none", () => {
  const texts = [
    '// import "/"\n/* from "/" */ /** @type {import("/")} */',
    `const a = 'import "/"', b = "from '/'", c = \`import "/" from "/"\``,
    'const d = `a ${1} import "/" ${2} from "/"`',
    '/import "\\/"/.test(a); b = /[/]import "x"/; c = (1) / 2 + "import \'/\'"',
    'const o = { import: "/", from: "/" }; o.import; o.from; o?.import("/"); o.import("/")',
    'import(a); import("/" + a); import(`/${a}`); import(`${a}`)',
    'import.meta.url; import.meta.resolve("/"); import.meta["from"]',
    'class A { from = "/"; import(from) { return "/"; } static export = "/" }',
    'function from(a) {} from("/"); const f = from; export default from; export { f as from };',
    'import a = B.C; export = "/"; export const from = "/"; export default "/"; export async function f() {}',
    'const unfinished = \'import "/"\nconst b = 1',
    "const endless = `import '/'",
    "/* import '/'",
    "const x = a ? /\"/ : /'/; const y = \"import '/'\"",
    "",
    "from",
    "import",
    'import "',
    "\u0000\ufeff\ud800 import\u2028",
  ];
  for (const text of texts) assertEquals(plain(text).filter((name) => name === "/"), [], text);
});

Deno.test("in JSX, text between tags is text, and braces hold code", () => {
  const texts: [string, string[]][] = [
    ['const a = <p>Don\'t import "/" from "/" {import("./1.ts")} it\'s</p>; import("./2.ts")', [
      ...["./1.ts", "./2.ts"],
    ]],
    [
      '<div a="import \'/\'" b=\'from "/"\' {...c} d={() => import("./1.ts")}><b/>{/* import "/" */}</div>',
      [
        "./1.ts",
      ],
    ],
    ['const a = <><i>/* from "/" */</i></>; const b = c ? <u>// "</u> : <v/>; import("./1.ts")', [
      "./1.ts",
    ]],
    ['const f = <T,>(x: T) => x; type F = <T>(x: T) => T; import("./1.ts")', ["./1.ts"]],
    ['const a = <F<string> b="1" />; const c = d < 3 && e > "import \'/\'"; import("./1.ts")', [
      "./1.ts",
    ]],
  ];
  for (const [text, found] of texts) assertEquals(withJsx(text), found, text);
});

Deno.test("texts of any length take time in proportion to it", () => {
  for (
    const piece of ["import ", "export {", "`${", "<a>", "/* ", '"', "import a = ", "{", "import ("]
  ) {
    findImports(piece.repeat(100_000), { jsx: true });
  }
});
