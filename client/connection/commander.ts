/** Who sends commands to a server: every client, whatever task file it knows. */

import type { JsonObject } from "../../protocol/message.ts";

export interface Commander {
  command<Answer>(message: JsonObject & { cmd: string }): Promise<Answer>;
  replies(
    message: JsonObject & { cmd: string },
    take: (reply: JsonObject) => boolean,
    options?: { resumes?: () => boolean },
  ): Promise<void>;
}
