/** TEMPORARY */
export function sqlitePath(url: string, _dir?: string): string {
  return url.slice("sqlite:".length);
}
