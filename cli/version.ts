/** The release this is. `deno.json` says the same; a test holds the two equal. */
export const VERSION = "0.1.0";
