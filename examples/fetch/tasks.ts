/** Fetches pages from a server that is not always well: what may get better is tried again, what will not is not. */
/// <reference path="../starter/sd.d.ts" />

export async function fetch_text({ url }: { url: string }, ctx: TaskContext) {
  const response = await fetch(url, { signal: ctx.signal });
  const text = await response.text();
  if (response.ok) return { text, attempt: ctx.attempt };
  const { status } = response;
  // 5xx is the server's trouble and may pass; 4xx is ours, and stays as long as the request is the same.
  throw new TaskError(`${url} answers ${status}: ${text}`, { retry: status >= 500 });
}
fetch_text.options = {
  timeout: "10s",
  attempts: 5,
  backoff: "200ms",
  rate: "20/1s",
} satisfies TaskOptions;
