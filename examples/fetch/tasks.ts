/** Fetches pages from an unreliable server: errors that can pass are tried again, others are not. */
/// <reference path="../starter/sd.d.ts" />

export async function fetch_text({ url }: { url: string }, ctx: TaskContext) {
  const response = await fetch(url, { signal: ctx.signal });
  const text = await response.text();
  if (response.ok) return { text, attempt: ctx.attempt };
  const { status } = response;
  // A 5xx is a fault of the server and can pass. A 4xx is a fault of the request, and stays the same.
  throw new TaskError(`${url} answers ${status}: ${text}`, { retry: status >= 500 });
}
fetch_text.options = {
  timeout: "10s",
  attempts: 5,
  backoff: "200ms",
  rate: "20/1s",
} satisfies TaskOptions;
