/** A folder of task files for a test, gone with it. */

import { pathToFileURL } from "node:url";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import type { TaskModule } from "../../workers/ops/task_modules.ts";

/** The files that `sd init` writes, by their names. */
export const STARTER_FILES: Readonly<Record<"tasks.ts" | "tasks.js" | "sd.d.ts", string>> = {
  "tasks.ts": starterText("tasks.ts"),
  "tasks.js": starterText("tasks.js"),
  "sd.d.ts": starterText("sd.d.ts"),
};

function starterText(name: string): string {
  return Deno.readTextFileSync(new URL(`../../examples/starter/${name}`, import.meta.url));
}

export class TaskFolder implements Disposable {
  readonly path = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "sd-tasks-" }));

  constructor(files: Record<string, string> = {}) {
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  write(name: string, text: string): void {
    const path = this.file(name);
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, text);
  }

  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** In the form that a pool gets. */
  refs(...names: string[]): TaskFileRef[] {
    return names.map((name) => ({ path: this.file(name), name }));
  }

  /** In the form that a worker gets. */
  modules(...names: string[]): TaskModule[] {
    return names.map((name) => ({ url: pathToFileURL(this.file(name)).href, name }));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
