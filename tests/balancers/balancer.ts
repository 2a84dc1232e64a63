/** Real load balancers for tests: HAProxy and nginx, each a process on a free port of loopback, with a configuration of its own. */

import { delay } from "@std/async/delay";
import { deadline } from "@std/async/deadline";
import { isInstalled } from "../kit/needs.ts";
import { answersAt, freePort } from "../kit/private_service.ts";

export const KINDS = ["haproxy", "nginx"] as const;
export type Kind = typeof KINDS[number];

export const HAS_BALANCERS = await isInstalled("haproxy", "nginx") &&
  await isFile("/usr/lib/nginx/modules/ngx_stream_module.so");
const PATIENCE_MS = 30_000;

export interface BalancerOptions {
  /** Ports of the servers on loopback. */
  readonly servers: readonly number[];
  /** Write a PROXY header: version 2 by HAProxy, version 1 by nginx. */
  readonly proxy?: true;
  /** Cut a connection that carries nothing for this long; default: an hour. */
  readonly idleMs?: number;
  /** The servers speak TLS: checks must, too. Clients speak TLS with the servers, not with the balancer. */
  readonly tls?: true;
}

function haproxyText(port: number, { servers, proxy, idleMs = 3_600_000, tls }: BalancerOptions) {
  // Also the longest time of the handshake of a check, which 50 clients in this process can hold up.
  const interval = tls ? "3s" : "250ms";
  const options = `check${tls ? " check-ssl verify none" : ""}${proxy ? " send-proxy-v2" : ""}`;
  return `global
    maxconn 4000
    hard-stop-after 5s
defaults
    mode tcp
    timeout connect 5s
    timeout check 10s
    timeout client ${idleMs}
    timeout server ${idleMs}
    retries 2
    option redispatch
    option clitcpka
    option srvtcpka
frontend sd
    bind 127.0.0.1:${port}
    default_backend sd
backend sd
    balance leastconn
    option tcp-check
    tcp-check connect default
    tcp-check send "{\\"cmd\\":\\"health\\"}\\n"
    tcp-check expect string "\\"ok\\":true"
    default-server inter ${interval} fastinter 100ms downinter 100ms fall 2 rise 1 on-marked-down shutdown-sessions
${servers.map((server, i) => `    server s${i} 127.0.0.1:${server} ${options}`).join("\n")}
`;
}

function nginxText(port: number, { servers, proxy, idleMs = 3_600_000 }: BalancerOptions) {
  const hosts = servers.map((server) => `server 127.0.0.1:${server} max_fails=1 fail_timeout=1s;`);
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
worker_processes 1;
daemon off;
pid nginx.pid;
error_log nginx.log warn;
worker_shutdown_timeout 5s;
events { worker_connections 4000; }
stream {
    upstream sd { least_conn; ${hosts.join(" ")} }
    server {
        listen 127.0.0.1:${port} so_keepalive=30s:10s:3;
        proxy_pass sd;
        proxy_connect_timeout 5s;
        proxy_timeout ${idleMs}ms;
        proxy_next_upstream on;
        proxy_socket_keepalive on;
        ${proxy ? "proxy_protocol on;" : ""}
    }
}
`;
}

export class Balancer implements AsyncDisposable {
  #child: Deno.ChildProcess;
  readonly #folder: string;

  private constructor(readonly kind: Kind, readonly port: number, folder: string) {
    this.#folder = folder;
    this.#child = this.#spawn();
  }

  static async start(kind: Kind, options: BalancerOptions): Promise<Balancer> {
    const folder = await Deno.makeTempDir({ prefix: "sd-balancer-" });
    const port = freePort();
    const text = kind === "haproxy" ? haproxyText(port, options) : nginxText(port, options);
    await Deno.writeTextFile(`${folder}/${kind}.conf`, text);
    const balancer = new Balancer(kind, port, folder);
    await balancer.#isUp();
    return balancer;
  }

  get address(): { hostname: string; port: number } {
    return { hostname: "127.0.0.1", port: this.port };
  }

  /** Ends it at once, with all connections, and starts it again. */
  async restart(): Promise<void> {
    await this.#end();
    this.#child = this.#spawn();
    await this.#isUp();
  }

  /** Replaces its processes by new ones; the old ones go on with their connections for up to 5 s. */
  async reload(): Promise<void> {
    this.#child.kill(this.kind === "haproxy" ? "SIGUSR2" : "SIGHUP");
    await delay(300);
    await this.#isUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    await Deno.remove(this.#folder, { recursive: true });
  }

  #spawn(): Deno.ChildProcess {
    const config = `${this.#folder}/${this.kind}.conf`;
    const args = this.kind === "haproxy"
      ? ["-W", "-db", "-f", config]
      : ["-p", this.#folder, "-c", config, "-e", `${this.#folder}/nginx.log`];
    return new Deno.Command(this.kind, { args, stdin: "null", stdout: "null", stderr: "null" })
      .spawn();
  }

  async #end(): Promise<void> {
    this.#child.kill("SIGTERM");
    await deadline(this.#child.status, PATIENCE_MS);
  }

  async #isUp(): Promise<void> {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(20)) {
      if (await answersAt(this.port)) return;
    }
    throw new Error(`${this.kind} did not start: ${await this.#log()}`);
  }

  async #log(): Promise<string> {
    return await isFile(`${this.#folder}/nginx.log`)
      ? await Deno.readTextFile(`${this.#folder}/nginx.log`)
      : "";
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
