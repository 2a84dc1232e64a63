/** A server to fetch from: `/` is not well the first two times that it is asked, and anything else is not there. */

const port = Number(Deno.args[0] ?? 8123);
let asked = 0;

Deno.serve({ hostname: "127.0.0.1", port }, (request) => {
  if (new URL(request.url).pathname !== "/") return new Response("no such page", { status: 404 });
  asked++;
  if (asked <= 2) return new Response("not well", { status: 503 });
  return new Response(`hello, asked ${asked} times`);
});
