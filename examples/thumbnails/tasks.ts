/** Makes thumbnails of PNG pictures: reads from photos/, writes to thumbnails/, and can touch nothing else. */
/// <reference path="../starter/sd.d.ts" />

import { decodePng, encodePng, type Picture } from "./png.ts";

interface Order {
  photo: string;
  /** Width of the thumbnail, in pixels. */
  width?: number;
}

export async function thumbnail({ photo, width = 64 }: Order, ctx: TaskContext) {
  const picture = decodePng(await Deno.readFile(`photos/${photo}`));
  ctx.progress(0.5, `${picture.width} × ${picture.height} pixels are read`);
  const small = shrunk(picture, Math.min(width, picture.width));
  await Deno.writeFile(`thumbnails/${photo}`, encodePng(small));
  return { photo, width: small.width, height: small.height };
}
thumbnail.options = { timeout: "30s" } satisfies TaskOptions;

/** Makes a picture smaller: each new pixel is the mean of the pixels that it replaces. */
function shrunk({ width: fromWidth, height: fromHeight, rgba }: Picture, width: number): Picture {
  const height = Math.max(1, Math.round(fromHeight * width / fromWidth));
  const small = new Uint8Array(width * height * 4);
  const edges = (at: number, size: number, fromSize: number) =>
    [Math.floor(at * fromSize / size), Math.ceil((at + 1) * fromSize / size)] as const;
  for (let y = 0; y < height; y++) {
    const [top, bottom] = edges(y, height, fromHeight);
    for (let x = 0; x < width; x++) {
      const [left, right] = edges(x, width, fromWidth);
      for (let channel = 0; channel < 4; channel++) {
        let sum = 0;
        for (let fromY = top; fromY < bottom; fromY++) {
          for (let fromX = left; fromX < right; fromX++) {
            sum += rgba[(fromY * fromWidth + fromX) * 4 + channel]!;
          }
        }
        small[(y * width + x) * 4 + channel] = sum / ((bottom - top) * (right - left));
      }
    }
  }
  return { width, height, rgba: small };
}
