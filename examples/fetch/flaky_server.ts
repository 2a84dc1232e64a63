/** A server to fetch from: `/` fails for the first two requests, and every other path is 404. */

const port = Number(Deno.args[0] ?? 8123);
let asked = 0;

Deno.serve({ hostname: "127.0.0.1", port }, (request) => {
  if (new URL(request.url).pathname !== "/") return new Response("no such page", { status: 404 });
  asked++;
  if (asked <= 2) return new Response("overloaded", { status: 503 });
  return new Response(`hello, asked ${asked} times`);
});
