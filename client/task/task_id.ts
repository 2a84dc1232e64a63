/** Ids of the tasks that this client submits: UUIDv7 (RFC 9562), so that they sort by time. */

/** A new one. It is in the submitted line from the start, so that the line may be sent again. */
export function newTaskId(now = Date.now()): string {
  const time = now.toString(16).padStart(12, "0");
  // The rest of a version 4, all of it at random but the variant.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}
