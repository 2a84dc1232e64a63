/**
 * Compares the results of popular packages in a task with those in plain Deno: `deno run -A bench/packages.ts`. Each package
 * is tried in three places. The first is a program of its own. The second is a handler of `sd serve` that imports it when it
 * is called, twice in one worker. The third, for comparison, is a program that called `lockdown()` of `ses` before.
 * Needs a registry; run by hand.
 */

import { print } from "../cli/talk.ts";
import { connect } from "../client/mod.ts";
import { sdCommand } from "./running.ts";

/** An expression of `m`, the module, for each package. */
const USES: Record<string, string> = {
  "lodash@4.17.21":
    "[m.default.groupBy([1.2, 1.8, 2.1], Math.floor), m.default.merge({ a: { b: 1 } }, { a: { c: 2 } }), m.default.cloneDeep(new Map([[1, new Set([2])]])).get(1).has(2)]",
  "zod@4.1.5":
    "m.z.object({ n: m.z.number(), s: m.z.string().default('x') }).safeParse({ n: '1' }).error.issues.map((i) => i.message)",
  "date-fns@4.1.0": "m.formatISO(m.addMonths(new Date(0), 1), { representation: 'date' })",
  "dayjs@1.11.13": "m.default('2024-02-29').add(1, 'year').format('YYYY-MM-DD')",
  "luxon@3.6.1": "m.DateTime.fromISO('2024-03-31T02:30', { zone: 'Europe/Berlin' }).toISO()",
  "ajv@8.17.1":
    "(() => { const a = new (m.default.default ?? m.default)(); const v = a.compile({ type: 'object', required: ['n'] }); return [v({ n: 1 }), v({}), v.errors[0].message]; })()",
  "uuid@11.1.0": "m.v5('hello', m.v5.DNS)",
  "qs@6.13.0": "[m.default.stringify({ a: { b: [1, 2] } }), m.default.parse('a[b]=1&c[]=2')]",
  "side-channel@1.0.6":
    "(() => { const c = m.default(), k = {}; c.set(k, 1); return [c.has(k), c.get(k)]; })()",
  "deep-equal@2.2.3":
    "[m.default(new Set([1]), new Set([2])), m.default({ a: [1] }, { a: [1] }), m.default(new Date(1), new Date(1))]",
  "immer@10.1.1": "m.produce({ a: [1], b: {} }, (d) => { d.a.push(2); })",
  "rxjs@7.8.2":
    "new Promise((r) => m.from([1, 2, 3]).pipe(m.map((n) => n * 2), m.toArray()).subscribe(r))",
  "mathjs@14.4.0": "[m.evaluate('sqrt(16) + 2 m').toString(), m.format(m.inv([[1, 2], [3, 4]]))]",
  "cheerio@1.0.0": "m.load('<ul><li class=a>1<li>2</ul>')('li.a').text()",
  "marked@15.0.7": "m.marked.parse('# hi\\n\\n- *a*')",
  "yaml@2.7.1": "m.parse('a: [1, 2]\\nb: { c: x }')",
  "js-yaml@4.1.0": "m.default.dump({ a: [1, { b: 2 }] })",
  "csv-parse@5.6.0/sync": "m.parse('a,b\\n1,\"2,3\"', { columns: true })",
  "iconv-lite@0.6.3": "[...m.default.encode('äß€', 'win1252')]",
  "bn.js@5.2.1": "new m.default('123456789012345678901234567890').mul(new m.default(7)).toString()",
  "big.js@6.2.2": "new m.default('0.1').plus('0.2').toString()",
  "decimal.js@10.5.0": "new m.Decimal(2).sqrt().toString()",
  "core-js@3.41.0":
    "[Object.keys(m).length, typeof structuredClone, [1, 2, 3].at(-1), typeof Array.prototype.uniqueBy, Object.groupBy([1, 2], (n) => n % 2 ? 'a' : 'b').a]",
  "regenerator-runtime@0.14.1":
    "[typeof regeneratorRuntime.mark, [...(function* () { yield 1; })()]]",
  "reflect-metadata@0.2.2":
    "(() => { class A {} Reflect.defineMetadata('k', 5, A); return [Reflect.getMetadata('k', A), Reflect.hasMetadata('x', A)]; })()",
  "inversify@6.2.2": "Object.keys(m).length > 10",
  "zone.js@0.15.0":
    "(async () => { let seen = 0; await Zone.current.fork({ name: 'z', onInvoke: (p, c, t, f, a, b) => { seen++; return p.invoke(t, f, a, b); } }).run(() => Promise.resolve(1)); return [seen, Zone.current.name]; })()",
  "axios@1.8.4": "m.default.getUri({ url: 'http://x/', params: { a: [1, 2] } })",
  "undici@6.21.2": "new m.Headers({ a: 'b' }).get('a')",
  "handlebars@4.7.8": "m.default.compile('{{#each a}}<{{this}}>{{/each}}')({ a: [1, 2] })",
  "ejs@3.1.10": "m.default.render('<% for (const x of a) { %><%= x %>;<% } %>', { a: [1, 2] })",
  "nunjucks@3.2.4":
    "m.default.renderString('{% for x in a %}{{ x | upper }}{% endfor %}', { a: ['a', 'b'] })",
  "mustache@4.2.0": "m.default.render('{{#a}}{{.}},{{/a}}', { a: [1, 2] })",
  "protobufjs@7.4.0":
    "(() => { const T = m.default.parse('syntax=\"proto3\"; message T { string a = 1; int64 b = 2; }').root.lookupType('T'); return T.toObject(T.decode(T.encode({ a: 'x', b: 5 }).finish()), { longs: String }); })()",
  "@msgpack/msgpack@3.1.1": "m.decode(m.encode({ a: [1, 'x', null] }))",
  "jszip@3.10.1":
    "(async () => { const z = new m.default(); z.file('a.txt', 'hello'); return await (await m.default.loadAsync(await z.generateAsync({ type: 'uint8array' }))).file('a.txt').async('string'); })()",
  "pako@2.1.0": "m.default.inflate(m.default.deflate('hello'), { to: 'string' })",
  "acorn@8.14.1": "m.parse('let a = 1', { ecmaVersion: 2022 }).body[0].type",
  "@babel/parser@7.27.0": "m.parse('class A { #x = 1 }').program.body[0].type",
  "@babel/core@7.26.10":
    "m.default.transformSync('let a = 1;', { configFile: false, babelrc: false }).code",
  "terser@5.39.0": "m.minify('function f(abc) { return abc + 1 }').then((r) => r.code)",
  "prettier@3.5.3": "m.format('let a=1', { parser: 'babel' })",
  "typescript@5.8.3":
    "m.default.transpileModule('class A { constructor(private x: number) {} }', { compilerOptions: { target: 'es2022' } }).outputText",
  "lru-cache@11.1.0":
    "(() => { const c = new m.LRUCache({ max: 2 }); c.set(1, 1); c.set(2, 2); c.set(3, 3); return [...c.keys()]; })()",
  "eventemitter3@5.0.1":
    "(() => { const e = new m.EventEmitter(); let n = 0; e.on('x', (v) => n += v); e.emit('x', 2); return n; })()",
  "async@3.2.6": "m.default.mapLimit([1, 2, 3], 2, async (n) => n * 2)",
  "bluebird@3.7.2": "m.default.map([1, 2], (n) => n * 2).then((r) => r)",
  "ramda@0.30.1": "m.pipe(m.map((n) => n + 1), m.sum)([1, 2])",
  "immutable@5.1.1": "m.Map({ a: m.List([1]) }).setIn(['a', 1], 2).toJS()",
  "semver@7.7.1": "m.default.maxSatisfying(['1.2.3', '1.3.0', '2.0.0'], '^1.2')",
  "should@13.2.3":
    "(() => { (5).should.be.exactly(5); try { ({ a: 1 }).should.have.property('b'); } catch (e) { return e.message; } })()",
  "object-inspect@1.13.4": "m.default({ a: [1, new Map([[1, 2]])] })",
  "es-abstract@1.23.9/2024/ToString.js": "m.default(-0)",
  "joi@17.13.3": "m.default.object({ n: m.default.number() }).validate({ n: 'x' }).error.message",
  "moment@2.30.1": "m.default.utc(0).format('LLLL')",
  "sinon@20.0.0":
    "(() => { const s = m.default.stub(Math, 'max').returns(5); const r = Math.max(1); s.restore(); const c = m.default.useFakeTimers(7); const t = Date.now(); c.restore(); return [r, t]; })()",
  "shimmer@1.2.1":
    "(() => { const o = { f: () => 1 }; m.default.wrap(o, 'f', (f) => () => f() + 1); return o.f(); })()",
};

const NAMES = Object.keys(USES).filter((name) =>
  Deno.args.length === 0 || Deno.args.some((arg) => name.startsWith(arg))
);
const LOCKDOWN = `import "npm:ses@1.12.0";
lockdown({ errorTaming: "unsafe", consoleTaming: "unsafe", overrideTaming: "severe", legacyRegeneratorRuntimeTaming: "unsafe-ignore" });`;
const ALLOWED = ["--allow-env", "--allow-read", "--allow-sys", "--allow-net=example.com"];

const folder = await Deno.makeTempDir({ prefix: "sd-packages-" });
const same = { sd: 0, again: 0, ses: 0 };
const replaced: string[] = [];
for (const name of NAMES) {
  const use = `const m = await import("npm:${name}"); return await (${USES[name]});`;
  const told = `
    try { console.log(JSON.stringify([await (async () => { ${use} })() ?? null])); }
    catch (error) { console.log(JSON.stringify({ threw: error.message })); }
    Deno.exit();`;
  const plain = await run("plain.js", told);
  const found = { ...await inTasks(name, use), ses: await run("ses.js", LOCKDOWN + told) };
  const ways = (Object.keys(same) as (keyof typeof same)[]).map((way) => {
    if (found[way] === plain) same[way]++;
    return found[way] === plain ? `${way} =` : `${way}: ${found[way].slice(0, 120)}`;
  });
  print(`${name.padEnd(34)} ${ways.join("  ")}  (${plain.slice(0, 60)})`);
}
print(`the same as in plain Deno, of ${NAMES.length}: ${JSON.stringify(same)}`);
print(replaced.join("\n"));
await Deno.remove(folder, { recursive: true });

/** The last line that `program` prints. */
async function run(file: string, program: string): Promise<string> {
  await Deno.writeTextFile(`${folder}/${file}`, program);
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-lock", `${folder}/${file}`],
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return text.decode(stdout).trim().split("\n").at(-1) || text.decode(stderr).slice(0, 200);
}

/** What the op that runs `use` answers, twice in a row. */
async function inTasks(name: string, use: string): Promise<{ sd: string; again: string }> {
  await Deno.writeTextFile(`${folder}/tasks.js`, `export const use = async () => { ${use} };`);
  const { path, args } = sdCommand([
    ...["serve", `${folder}/tasks.js`, "--port", "0", "--engine", "memory:", "--workers", "1"],
    ...ALLOWED,
  ]);
  const server = new Deno.Command(path, { args, stdout: "null", stderr: "piped" }).spawn();
  const listening = Promise.withResolvers<number>();
  const reading = (async () => {
    let said = "";
    for await (const chunk of server.stderr.pipeThrough(new TextDecoderStream())) {
      said += chunk;
      const [, port] = /listening on \S+:(\d+)[^]*\[dispatcher\]/.exec(said) ?? [];
      if (port) listening.resolve(Number(port));
    }
    listening.reject(new Error(said));
    for (const [line] of said.matchAll(/^\[worker\] a task of use has .*$/gm)) {
      replaced.push(`${name}: ${line.split(",")[0]}`);
    }
  })();
  const answers: string[] = [];
  try {
    await using sd = await connect({ hostname: "127.0.0.1", port: await listening.promise });
    for (let i = 0; i < 2; i++) {
      const answer = await sd.run("use", {}).then(
        (result) => [result ?? null],
        ({ message }: Error) => ({ threw: message.replace(/^\w+Error: /, "") }),
      );
      answers.push(JSON.stringify(answer));
    }
  } catch (error) {
    answers.push(String(error).slice(0, 200), "");
  }
  server.kill("SIGTERM");
  await server.status;
  await reading;
  return { sd: answers[0]!, again: answers[1]! };
}
