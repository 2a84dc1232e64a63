/** Reads and writes PNG pictures with 8 bits a channel and without interlacing, as nearly all are. */

import { crc32, deflateSync, inflateSync } from "node:zlib";

/** Red, green, blue and opacity of each pixel, a byte each, row by row. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** Bytes a pixel, by PNG's colour type: grey, true colour, palette, grey and opacity, true colour and opacity. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

export function decodePng(file: Uint8Array): Picture {
  if (SIGNATURE.some((byte, i) => file[i] !== byte)) throw new Error("this is no PNG");
  const parts = readParts(file);
  const [header, palette, opacity] = ["IHDR", "PLTE", "tRNS"].map((name) => parts.get(name)?.[0]);
  if (!header) throw new Error("this PNG has no header");
  const view = new DataView(header.buffer, header.byteOffset);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth = 0, colour = 0, , , interlace = 0] = header.subarray(8);
  const channels = CHANNELS[colour];
  if (depth !== 8 || interlace !== 0 || channels === undefined) {
    throw new Error(`a PNG of ${depth} bits, colour type ${colour}, interlace ${interlace}`);
  }
  const data = new Uint8Array(inflateSync(joined(parts.get("IDAT") ?? [])));
  const bytes = unfilter(data, { rows: height, rowBytes: width * channels, pixelBytes: channels });
  const rgba = new Uint8Array(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const pixel = bytes.subarray(i * channels, (i + 1) * channels);
    const [a = 0, b = 255, c = 0, d = 255] = pixel;
    if (colour === 3) {
      rgba.set([...palette!.subarray(3 * a, 3 * a + 3), opacity?.[a] ?? 255], 4 * i);
    } else rgba.set(channels < 3 ? [a, a, a, b] : [a, b, c, d], 4 * i);
  }
  return { width, height, rgba };
}

export function encodePng({ width, height, rgba }: Picture): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 6, 0, 0, 0], 8);
  const rows = new Uint8Array(height * (1 + width * 4));
  for (let y = 0; y < height; y++) {
    rows.set(rgba.subarray(y * width * 4, (y + 1) * width * 4), y * (1 + width * 4) + 1);
  }
  return joined([
    new Uint8Array(SIGNATURE),
    part("IHDR", header),
    part("IDAT", new Uint8Array(deflateSync(rows))),
    part("IEND", new Uint8Array()),
  ]);
}

/** Reads the parts of a PNG by their names. Each part has its length in front and a checksum at its end. */
function readParts(file: Uint8Array): Map<string, Uint8Array[]> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const parts = new Map<string, Uint8Array[]>();
  for (let at = SIGNATURE.length; at + 12 <= file.length;) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    parts.set(name, [...parts.get(name) ?? [], file.subarray(at + 8, at + 8 + length)]);
    at += length + 12;
  }
  return parts;
}

function part(name: string, data: Uint8Array): Uint8Array {
  const named = joined([new TextEncoder().encode(name), data]);
  const [length, sum] = [new Uint8Array(4), new Uint8Array(4)];
  new DataView(length.buffer).setUint32(0, data.length);
  new DataView(sum.buffer).setUint32(0, crc32(named));
  return joined([length, named, sum]);
}

/** Undoes the filter of each row: a byte is the difference to the byte on its left, above it, or to both. */
function unfilter(
  data: Uint8Array,
  { rows, rowBytes, pixelBytes }: { rows: number; rowBytes: number; pixelBytes: number },
): Uint8Array {
  const out = new Uint8Array(rows * rowBytes);
  for (let y = 0; y < rows; y++) {
    const filter = data[y * (rowBytes + 1)];
    for (let x = 0; x < rowBytes; x++) {
      const at = y * rowBytes + x;
      const left = x >= pixelBytes ? out[at - pixelBytes]! : 0;
      const above = y > 0 ? out[at - rowBytes]! : 0;
      const corner = x >= pixelBytes && y > 0 ? out[at - rowBytes - pixelBytes]! : 0;
      const guess = [0, left, above, (left + above) >> 1, nearest(left, above, corner)][filter!]!;
      out[at] = data[y * (rowBytes + 1) + 1 + x]! + guess;
    }
  }
  return out;
}

function nearest(left: number, above: number, corner: number): number {
  const slope = left + above - corner;
  const [a, b, c] = [left, above, corner].map((value) => Math.abs(slope - value));
  return a! <= b! && a! <= c! ? left : b! <= c! ? above : corner;
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
