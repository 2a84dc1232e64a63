/**
 * IP addresses as text and as bytes, and ranges of them. Pure. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`)
 * is the IPv4 address: a socket that listens on `::` reports IPv4 clients in that form.
 */

import { quote } from "../protocol/errors.ts";
import { ClientError } from "./client_error.ts";

/** The first 12 bytes of an IPv4 address in the form of IPv6. */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
/** Most ranges of one list. */
const MAX_RANGES = 256;

/** The 4 or 16 bytes of an address; `undefined` if the text is none. Numbers have no leading zeros. */
export function parseIp(text: string): Uint8Array | undefined {
  const bytes = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  return bytes && unmapped(new Uint8Array(bytes));
}

/** An address of 4 or 16 bytes as text. */
export function formatIp(address: Uint8Array): string {
  const bytes = unmapped(address);
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  const text = groups.map((group) => group.toString(16)).join(":");
  // The first of the longest runs of zeros, of two or more, is left out.
  const [longest] = [...text.matchAll(/\b0(?::0)+\b/g)]
    .sort((a, b) => b[0].length - a[0].length || a.index - b.index);
  if (!longest) return text;
  const before = text.slice(0, longest.index).replace(/:$/, "");
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}

function unmapped(bytes: Uint8Array): Uint8Array {
  const isMapped = bytes.length === 16 && MAPPED.every((byte, i) => bytes[i] === byte);
  return isMapped ? bytes.slice(12) : bytes;
}

function parseIpv4(text: string): number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => groupsOf(half, i === halves.length - 1));
  if (!head || (halves.length === 2 && !tail)) return undefined;
  if (!tail) return head.length === 16 ? head : undefined;
  // `::` replaces at least one group of zeros.
  const gap = 16 - head.length - tail.length;
  return gap >= 2 ? [...head, ...new Array<number>(gap).fill(0), ...tail] : undefined;
}

/** The bytes of groups of hex digits; the last group of an address can be an IPv4 address. */
function groupsOf(text: string, isLast: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (isLast && i === groups.length - 1 && group.includes(".")) {
      const ipv4 = parseIpv4(group);
      if (!ipv4) return undefined;
      bytes.push(...ipv4);
    } else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const number = parseInt(group, 16);
      bytes.push(number >> 8, number & 0xff);
    } else return undefined;
  }
  return bytes;
}

interface Range {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** A set of addresses. */
export class IpRanges {
  readonly #ranges: readonly Range[];

  private constructor(ranges: readonly Range[]) {
    this.#ranges = ranges;
  }

  /** Reads `10.0.0.5,10.1.0.0/16,fd00::/8`. Throws `usage`, which names `from`, for anything else. */
  static parse(text: string, from: string): IpRanges {
    const parts = text.split(",").map((part) => part.trim());
    if (parts.length > MAX_RANGES) {
      throw new ClientError("usage", `${from} names at most ${MAX_RANGES} ranges of addresses`);
    }
    return new IpRanges(parts.map((part) => parseRange(part, from)));
  }

  /** Whether `address`, as text, is in one of the ranges. */
  includes(address: string): boolean {
    const bytes = parseIp(address.replace(/%.*$/, ""));
    return bytes !== undefined && this.#ranges.some((range) => isWithin(bytes, range));
  }
}

function parseRange(text: string, from: string): Range {
  const [address = "", prefix, ...more] = text.split("/");
  const bytes = parseIp(address);
  const most = (bytes?.length ?? 0) * 8;
  const bits = prefix === undefined ? most : /^(0|[1-9]\d{0,2})$/.test(prefix) ? +prefix : NaN;
  if (bytes && bits <= most && more.length === 0) return { bytes, bits };
  throw new ClientError("usage", `not a range of addresses: ${quote(text)}, from ${from}`, {
    hint: "write it like 10.0.0.5, 10.0.0.0/24 or fd00::/64, several with commas",
  });
}

function isWithin(address: Uint8Array, { bytes, bits }: Range): boolean {
  if (address.length !== bytes.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== bytes[i]) return false;
  const rest = bits & 7;
  return rest === 0 || ((address[whole]! ^ bytes[whole]!) >> (8 - rest)) === 0;
}
