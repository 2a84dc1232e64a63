/** `examples/cluster`: its configurations are valid, and its scripts bring a whole cluster up and down. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { freePort } from "../kit/private_service.ts";
import { until } from "../kit/until.ts";
import { HAS_BALANCERS, KINDS } from "./balancer.ts";

const EXAMPLE = new URL("../../examples/cluster/", import.meta.url).pathname;
/** Lines that are on their way when the leader is killed. */
const MANY = 20_000;
const SERVERS = ["a", "b", "c"];

const withBalancers = needing("HAProxy and nginx", HAS_BALANCERS);
const withYaml = needing("PyYAML", (await run("python3", ["-c", "import yaml"])).code === 0);
const withNamespaces = needing(
  "root, network namespaces, PostgreSQL, HAProxy and nginx",
  HAS_BALANCERS && await isInstalled("ip", "openssl", "unshare", "setpriv") &&
    await hasNamespaces(),
);

async function run(program: string, args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

async function hasNamespaces(): Promise<boolean> {
  const script =
    "ip netns add sd-probe && ip netns del sd-probe && ls /usr/lib/postgresql/*/bin/initdb";
  return (await run("sh", ["-c", script])).code === 0;
}

Deno.test(
  withBalancers("the configurations of HAProxy are valid, and that of nginx is"),
  async () => {
    for (const file of ["haproxy.cfg", "haproxy.compose.cfg"]) {
      const { code, stderr } = await run("haproxy", ["-c", "-f", `${EXAMPLE}${file}`]);
      assertEquals(code, 0, stderr);
    }
    const folder = await Deno.makeTempDir();
    try {
      const text = await Deno.readTextFile(`${EXAMPLE}nginx.conf`);
      // Only a machine of the cluster has that address.
      await Deno.writeTextFile(
        `${folder}/nginx.conf`,
        text.replaceAll("10.77.0.2:5000", `127.0.0.1:${freePort()}`),
      );
      const { code, stderr } = await run("nginx", [
        "-t",
        "-p",
        folder,
        "-c",
        `${folder}/nginx.conf`,
      ]);
      assertEquals(code, 0, stderr);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test(
  withYaml("compose.yaml describes the whole cluster, with files that are there"),
  async () => {
    const script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    const { code, stdout, stderr } = await run("python3", ["-c", script, `${EXAMPLE}compose.yaml`]);
    assertEquals(code, 0, stderr);
    const { services, secrets, networks } = JSON.parse(stdout);
    assertEquals(Object.keys(services).sort(), [...SERVERS, "haproxy", "postgres", "w1", "w2"]);
    const readme = await Deno.readTextFile(`${EXAMPLE}README.md`);
    for (const name of SERVERS) {
      const { command, secrets: given, networks: joined } = services[name];
      assertMatch(command[0], /exec sd serve/);
      for (const secret of given) {
        assert(secrets[secret], secret);
        assert(readme.includes(secrets[secret].file.slice(2)), `README.md makes no ${secret}`);
      }
      for (const network of Object.keys(joined)) assert(networks[network], network);
    }
    const flags = services.a.command[0].match(/--[a-z-]+/g);
    const self = selfCommand(["serve", "--help"]);
    const help = (await run(self.path, self.args, { NO_COLOR: "1" })).stdout;
    for (const flag of flags) assert(help.includes(flag), flag);
    const [, config] = /\.\/(\S+):\/usr\/local/.exec(services.haproxy.volumes[0]) ?? [];
    assert((await Deno.stat(`${EXAMPLE}${config}`)).isFile);
  },
);

for (const kind of KINDS) {
  Deno.test(
    withNamespaces(`${kind}: one command brings up a cluster, which outlives its leader`),
    async () => {
      const state = `/tmp/sd-cluster-${crypto.randomUUID().slice(0, 8)}`;
      const self = selfCommand([]);
      const env = { STATE: state, SD: [self.path, ...self.args].join(" "), NO_COLOR: "1" };
      const shell = (script: string) => run("bash", ["-c", `. ${state}/env; ${script}`], env);
      try {
        const up = await run(`${EXAMPLE}up`, [kind], env);
        assertEquals(up.code, 0, up.stderr + await logs(state));
        const square = await shell(`sd submit '{"op":"square","n":4}'`);
        assertEquals(square.stdout, "16\n", square.stderr);
        const status = async () => JSON.parse((await shell("sd status --json")).stdout).data;
        const { workers } = await status();
        assertEquals(workers.workers, 4);
        const many = shell(
          `seq ${MANY} | sed 's/.*/{"op":"square","n":&}/' | sd submit --file - >${state}/results`,
        );
        // It is on its way: a client that cannot reach a server at first does not try again.
        await until("a result", async () => {
          const text = await Deno.readTextFile(`${state}/results`).catch(() => "");
          return text.includes("\n");
        });
        const { stdout: leader } = await shell("leader");
        const kill = await shell(`kill -9 $(cat ${state}/server-${leader.trim()}.pid)`);
        assertEquals(kill.code, 0, kill.stderr);
        const { code, stderr } = await many;
        assertEquals(code, 0, stderr + await logs(state));
        const lines = (await Deno.readTextFile(`${state}/results`)).trim().split("\n");
        const results = lines.map((line) => JSON.parse(line));
        assertEquals(new Set(results.map(({ line }) => line)).size, MANY);
        assert(results.every(({ line, result }) => result === line * line));
      } finally {
        const down = await run(`${EXAMPLE}down`, [], env);
        assertEquals(down.code, 0, down.stderr);
      }
      const left = await run("sh", ["-c", `ip netns list; ip link show sd-lan; ls ${state}`]);
      assertEquals(left.stdout, "");
    },
  );
}

async function logs(state: string): Promise<string> {
  return (await run("sh", ["-c", `tail -n 20 ${state}/*.log 2>&1`])).stdout;
}
