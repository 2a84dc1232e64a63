/** The scripts that run inside Redis, each as one step, and how a connection names them. */

import { createHash } from "node:crypto";
import { BEAT_TEXT, CAMPAIGN_TEXT, FATE_TEXT, OPEN_TEXT, RENEW_TEXT } from "./lead_scripts.ts";
import { AHEAD_TEXT, FIND_TEXT, LIST_TEXT, OUTBOX_TEXT, PAGE_TEXT } from "./read_scripts.ts";
import { SWEEP_TEXT } from "./sweep_script.ts";
import { WRITE_TEXT } from "./write_script.ts";

export interface Script {
  readonly text: string;
  /** By which Redis knows it. */
  readonly sha: string;
}

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}

export const BEAT = script(BEAT_TEXT);
export const CAMPAIGN = script(CAMPAIGN_TEXT);
export const RENEW = script(RENEW_TEXT);
export const FATE = script(FATE_TEXT);
export const OPEN = script(OPEN_TEXT);
export const WRITE = script(WRITE_TEXT);
export const PAGE = script(PAGE_TEXT);
export const FIND = script(FIND_TEXT);
export const LIST = script(LIST_TEXT);
export const AHEAD = script(AHEAD_TEXT);
export const OUTBOX = script(OUTBOX_TEXT);
export const SWEEP = script(SWEEP_TEXT);

/** All of them: each connection loads them first. */
export const SCRIPTS: readonly Script[] = [
  BEAT,
  CAMPAIGN,
  RENEW,
  FATE,
  OPEN,
  WRITE,
  PAGE,
  FIND,
  LIST,
  AHEAD,
  OUTBOX,
  SWEEP,
];
