/**
 * Transcripts: conversations with the server as text, replayed over a real socket by
 * `transcripts_test.ts` and printed in `docs/protocol.md` by `scripts/protocol_docs.ts`.
 *
 *     # A heading of the document
 *     Words that explain.
 *     C: a line that the client sends            (A:, B: … further connections)
 *     S: a line that the server must answer      (SA:, SB: … to those)
 *     C- the client sends nothing more
 *     S- the server closes the connection
 *
 * In a server's line, `…name…` stands for any text within a string, or any number. The same name stands for the same text
 * everywhere, also in the client's lines. Each connection's lines are compared in their order.
 */

import { assertEquals } from "@std/assert";
import { RawClient } from "../kit/raw_client.ts";

const SPEAKER = /^(S?)([A-C])([:-]) ?(.*)$/;

export interface Turn {
  readonly server: boolean;
  /** Which connection. */
  readonly name: string;
  /** `undefined`: that side closes. */
  readonly line: string | undefined;
}

/** The turns of a transcript. A line that is none of them is prose. */
export function readTurns(text: string): Turn[] {
  return text.split("\n").flatMap((line) => {
    const match = SPEAKER.exec(
      line.startsWith("S:") || line.startsWith("S-") ? `SC${line.slice(1)}` : line,
    );
    if (!match) return [];
    const [, server, name = "", mark, rest] = match;
    return [{ server: server === "S", name, line: mark === ":" ? rest : undefined }];
  });
}

/** Plays `turns` to the server at `address`. Throws where it answers otherwise. */
export async function replay(
  turns: readonly Turn[],
  address: { hostname: string; port: number },
): Promise<void> {
  const clients = new Map<string, RawClient>();
  const known = new Map<string, string>();
  try {
    for (const { server, name, line } of turns) {
      let client = clients.get(name);
      if (!client) clients.set(name, client = await RawClient.connect(address));
      if (!server) {
        if (line === undefined) await client.closeWrite();
        else await client.send(fill(line, known) + "\n");
      } else if (line === undefined) {
        assertEquals(await client.line(), null, "the server closes the connection");
      } else {
        match(await client.line(), line, known);
      }
    }
  } finally {
    for (const client of clients.values()) client[Symbol.dispose]();
  }
}

/** `line` with every name that is known in place of its mark. */
function fill(line: string, known: ReadonlyMap<string, string>): string {
  return line.replace(/…(\w+)…/g, (mark, name) => known.get(name) ?? mark);
}

function match(actual: string | null, expected: string, known: Map<string, string>): void {
  const names: string[] = [];
  const pattern = fill(expected, known).split(/…(\w+)…/).map((part, i) => {
    if (i % 2 === 0) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    names.push(part);
    return String.raw`((?:[^"\\]|\\.)*?)`;
  }).join("");
  const found = actual === null ? null : new RegExp(`^${pattern}$`).exec(actual);
  if (!found) assertEquals(actual, fill(expected, known));
  names.forEach((name, i) => known.set(name, found?.[i + 1] ?? ""));
}
