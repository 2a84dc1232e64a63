/** Temporary folders of processes that have ended are removed; those of others, and of whatever is not known, are not. */

import { assertEquals } from "@std/assert";
import { basename } from "node:path";
import { makeOwnFolder, removeLeftFolders } from "../../../../cli/pool/own_folders.ts";

const isAsked = Deno.build.os !== "windows";

/** The number of a process that has ended. */
async function endedPid(): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), { args: ["--version"], stdout: "null" }).spawn();
  await child.status;
  return child.pid;
}

Deno.test({
  name: "folders of ended processes of this user are removed, and no others",
  ignore: !isAsked,
  async fn() {
    const parent = Deno.makeTempDirSync();
    const ended = await endedPid();
    const own = basename(makeOwnFolder("sd-tasks", parent));
    const copy = basename(makeOwnFolder("sd-executable", parent));
    const of = (name: string, pid: number) => name.replace(`-${Deno.pid}-`, `-${pid}-`);
    const [, , key = ""] = own.split("-");
    const elsewhere = of(own, ended).replace(key, key === "00000000" ? "11111111" : "00000000");
    const strange = `sd-tasks-${ended}`;
    const left = [of(own, ended), of(copy, ended)];
    for (const name of [...left, elsewhere, strange]) {
      Deno.mkdirSync(`${parent}/${name}/deep`, { recursive: true });
      Deno.writeTextFileSync(`${parent}/${name}/deep/file`, "text");
    }
    // A link of such a name leads to what is not ours.
    const target = Deno.makeTempDirSync();
    const link = `${of(own, ended)}x`;
    Deno.symlinkSync(target, `${parent}/${link}`);
    Deno.writeTextFileSync(`${parent}/${of(own, ended)}y`, "a file");
    removeLeftFolders(parent, undefined, `${parent}/not-there`);
    const names = [...Deno.readDirSync(parent)].map(({ name }) => name);
    assertEquals(
      names.sort(),
      [copy, elsewhere, link, own, strange, `${of(own, ended)}y`].sort(),
    );
    assertEquals(Deno.statSync(target).isDirectory, true);
    for (const folder of [parent, target]) Deno.removeSync(folder, { recursive: true });
  },
});
