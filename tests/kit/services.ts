/**
 * The services that servers share or balance with: PostgreSQL, Redis, NATS, RabbitMQ. Each as an instance of the test's own
 * on a free port in a temporary folder, which it may kill; and the shared ones of the machine, in which a test makes things
 * under a name of its own and drops them.
 */

import { isInstalled, needing } from "./needs.ts";
import {
  answersAt,
  asUser,
  freePort,
  PrivateService,
  runToEnd,
  serviceFolder,
  USER,
} from "./private_service.ts";

/** The shared services of the machine, as URLs. */
export const SHARED = {
  postgres: Deno.env.get("SD_TEST_POSTGRES") ?? "postgres://root@127.0.0.1:5432/test",
  redis: Deno.env.get("SD_TEST_REDIS") ?? "redis://127.0.0.1:6379",
  amqp: Deno.env.get("SD_TEST_AMQP") ?? "amqp://guest:guest@127.0.0.1:5672",
  nats: Deno.env.get("SD_TEST_NATS") ?? "nats://127.0.0.1:4222",
};

const POSTGRES_BIN = postgresBin();
/** For claims that need a service of their own; see `needing`. */
export const withOwnPostgres = needing("PostgreSQL", POSTGRES_BIN !== undefined);
export const withOwnRedis = needing(
  "redis-server",
  await isInstalled("redis-server"),
);
export const withOwnSentinel = needing(
  "redis-server and redis-sentinel",
  await isInstalled("redis-server", "redis-sentinel"),
);
export const withOwnNats = needing("nats-server", await isInstalled("nats-server"));
export const withOwnRabbit = needing(
  "rabbitmq-server",
  await isInstalled("rabbitmq-server"),
);
/** For claims that need a shared service of the machine. */
export const withPostgres = needing(
  `PostgreSQL at ${SHARED.postgres}`,
  await isAt(SHARED.postgres),
);
export const withRedis = needing(
  `Redis at ${SHARED.redis}`,
  await isAt(SHARED.redis),
);
export const withRabbit = needing(
  `RabbitMQ at ${SHARED.amqp}`,
  await isAt(SHARED.amqp),
);
export const withNats = needing(`NATS at ${SHARED.nats}`, await isAt(SHARED.nats));

async function isAt(url: string): Promise<boolean> {
  return await answersAt(Number(new URL(url).port));
}

/** A name that no other test has, for a schema, a hash tag, a queue. */
export function ownName(prefix = "sd"): string {
  return `${prefix}_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
}

/** A schema name of the test's own in the shared PostgreSQL, as an engine URL; dropped at the end with all that is in it. */
export class OwnSchema implements AsyncDisposable {
  readonly name = ownName();
  readonly url: string;

  constructor(readonly server: string = SHARED.postgres) {
    const url = new URL(server);
    url.searchParams.set("schema", this.name);
    this.url = String(url);
  }

  /** Runs SQL as another client would, with the schema first in its path; resolves with the rows as `psql` prints them. */
  async sql(text: string): Promise<string> {
    return await psql(this.server, `set search_path to "${this.name}", public;\n${text}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await psql(this.server, `drop schema if exists "${this.name}" cascade`);
  }
}

/** A name of the test's own in the shared Redis; all keys that hold it are removed at the end. */
export class OwnKeys implements AsyncDisposable {
  readonly name = ownName();

  constructor(readonly server: string = SHARED.redis) {}

  async [Symbol.asyncDispose](): Promise<void> {
    const { Redis } = await import("ioredis");
    const redis = new Redis(this.server);
    for (let cursor = "0";;) {
      const [next, keys] = await redis.scan(cursor, "MATCH", `*${this.name}*`, "COUNT", 1000);
      if (keys.length > 0) await redis.unlink(...keys);
      cursor = next;
      if (cursor === "0") break;
    }
    await redis.quit();
  }
}

/** A virtual host of the test's own in the shared RabbitMQ; it needs the right to run `rabbitmqctl`. */
export class OwnVhost implements AsyncDisposable {
  private constructor(readonly name: string, readonly url: string) {}

  static async make(): Promise<OwnVhost> {
    const name = ownName();
    await rabbitEval(
      `rabbit_vhost:add(<<"${name}">>, <<"guest">>), rabbit_auth_backend_internal:set_permissions(` +
        `<<"guest">>, <<"${name}">>, <<".*">>, <<".*">>, <<".*">>, <<"guest">>).`,
    );
    return new OwnVhost(name, `${SHARED.amqp}/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rabbitEval(`rabbit_vhost:delete(<<"${this.name}">>, <<"guest">>).`);
  }
}

async function rabbitEval(expression: string): Promise<void> {
  await runToEnd(["rabbitmqctl", "-q", "eval", expression]);
}

/** Runs SQL by `psql`; throws at the first error. */
export async function psql(url: string, text: string): Promise<string> {
  const options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
  return (await runToEnd(["psql", ...options, "-d", url], text)).trim();
}

/** The folder of PostgreSQL's programs, the newest; `undefined` if there is none. */
function postgresBin(): string | undefined {
  const root = Deno.env.get("SD_TEST_POSTGRES_BIN");
  if (root !== undefined) return root;
  try {
    const [newest] = [...Deno.readDirSync("/usr/lib/postgresql")].map(({ name }) => Number(name))
      .sort((a, b) => b - a);
    return newest === undefined ? undefined : `/usr/lib/postgresql/${newest}/bin`;
  } catch {
    return undefined;
  }
}

export interface PostgresOptions {
  /** Lines for `postgresql.conf`. */
  readonly settings?: Record<string, string>;
  /** TLS with these files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** Connections by TCP must give it (SCRAM); default: none is asked for. */
  readonly password?: string;
}

/** A PostgreSQL of the test's own; its one role is the superuser `sd`, its database `test`. */
export class OwnPostgres extends PrivateService {
  readonly password: string | undefined;

  private constructor(folder: string, port: number, password: string | undefined) {
    super({
      name: "PostgreSQL",
      folder,
      port,
      user: "postgres",
      command: [`${POSTGRES_BIN}/postgres`, "-D", `${folder}/data`],
      // "fast": it does not wait for its clients.
      stopSignal: "SIGINT",
      isUp: () => isReady(folder, port),
    });
    this.password = password;
  }

  static async start(options: PostgresOptions = {}): Promise<OwnPostgres> {
    const folder = await serviceFolder("postgres");
    await runToEnd(["cp", "-a", await template(), `${folder}/data`]);
    const port = freePort();
    await configure(folder, port, options);
    const own = await new OwnPostgres(folder, port, options.password).start();
    await own.sql("create database test", "postgres");
    if (options.password !== undefined) {
      await own.sql(`alter role sd password '${options.password}'`);
    }
    return own;
  }

  get url(): string {
    const secret = this.password === undefined ? "" : `:${encodeURIComponent(this.password)}`;
    return `postgres://sd${secret}@127.0.0.1:${this.port}/test`;
  }

  /** Runs SQL as the superuser, by the socket file. */
  async sql(text: string, database = "test"): Promise<string> {
    return await psql(`host=${this.folder} port=${this.port} user=sd dbname=${database}`, text);
  }

  /** A standby that streams from this one; `promote` makes it the primary. */
  async replica(name = "standby"): Promise<OwnPostgres> {
    const folder = await serviceFolder("postgres");
    const primary = `host=${this.folder} port=${this.port} user=sd application_name=${name}`;
    const backup = [`${POSTGRES_BIN}/pg_basebackup`, "-D", `${folder}/data`, "-X", "stream"];
    await runToEnd([
      "sh",
      "-c",
      `mkdir ${folder}/data; chown --reference=${this.folder}/data ${folder}/data; chmod 700 ${folder}/data`,
    ]);
    await runToEnd([...asUser("postgres"), ...backup, "-c", "fast", "-R", "-d", primary]);
    const port = freePort();
    await configure(folder, port, {});
    return await new OwnPostgres(folder, port, this.password).start();
  }

  async promote(): Promise<void> {
    await this.sql("select pg_promote()", "postgres");
  }
}

async function isReady(folder: string, port: number): Promise<boolean> {
  try {
    await runToEnd([`${POSTGRES_BIN}/pg_isready`, "-q", "-h", folder, "-p", String(port)]);
    return true;
  } catch {
    return false;
  }
}

/** Writes the configuration of an instance; a later line of a setting wins. */
async function configure(
  folder: string,
  port: number,
  { settings = {}, tls, password }: PostgresOptions,
): Promise<void> {
  const data = `${folder}/data`;
  const lines = [
    "listen_addresses = '127.0.0.1'",
    `port = ${port}`,
    `unix_socket_directories = '${folder}'`,
    "max_connections = 50",
    "shared_buffers = '64MB'",
    "max_wal_size = '256MB'",
    ...Object.entries(settings).map(([name, value]) => `${name} = '${value}'`),
  ];
  if (tls) {
    await Deno.copyFile(tls.certFile, `${data}/server.crt`);
    await Deno.copyFile(tls.keyFile, `${data}/server.key`);
    await Deno.chmod(`${data}/server.key`, 0o600);
    lines.push("ssl = on");
  }
  const method = password === undefined ? "trust" : "scram-sha-256";
  await Deno.writeTextFile(`${data}/postgresql.conf`, `\n${lines.join("\n")}\n`, { append: true });
  await Deno.writeTextFile(
    `${data}/pg_hba.conf`,
    "local all all trust\nlocal replication all trust\n" +
      `host all all 127.0.0.1/32 ${method}\nhost replication all 127.0.0.1/32 ${method}\n`,
  );
  // The sockets are in it, too.
  await runToEnd(["chown", "-R", `--reference=${data}`, folder]);
}

/** A cluster as `initdb` makes it, made once on a machine; each instance is a copy. */
async function template(): Promise<string> {
  const version = POSTGRES_BIN?.replace(/\W+/g, "-");
  const path = `${await Deno.realPath(tempRoot())}/sd-test-template-${USER}${version}`;
  if (await isOurs(path)) return `${path}/data`;
  const folder = await serviceFolder("template");
  await runToEnd(["chown", USER === 0 ? "postgres" : String(USER), folder]);
  const options = ["-U", "sd", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
  const initdb = [`${POSTGRES_BIN}/initdb`, "-D", `${folder}/data`, "--wal-segsize=4"];
  await runToEnd([...asUser("postgres"), ...initdb, ...options]);
  await runToEnd(["chown", String(USER), folder]);
  try {
    await Deno.rename(folder, path);
  } catch (error) {
    // Another test has made it meanwhile.
    await Deno.remove(folder, { recursive: true });
    if (!await isOurs(path)) throw error;
  }
  return `${path}/data`;
}

function tempRoot(): string {
  const folder = Deno.makeTempDirSync();
  Deno.removeSync(folder);
  return folder.slice(0, folder.lastIndexOf("/"));
}

async function isOurs(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).uid === USER;
  } catch {
    return false;
  }
}

export interface RedisOptions {
  /** When an append reaches the disk; default: it keeps nothing on disk. */
  readonly appendfsync?: "always" | "everysec" | "no";
  readonly password?: string;
  /** TLS with these files, on the port itself. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** It follows the Redis on this port of the machine. */
  readonly replicaOf?: number;
  /** Further settings, as in `redis.conf`. */
  readonly settings?: Record<string, string>;
}

/** A Redis of the test's own. */
export class OwnRedis extends PrivateService {
  readonly url: string;

  private constructor(folder: string, port: number, command: readonly string[], url: string) {
    super({ name: "Redis", folder, port, command });
    this.url = url;
  }

  static async start(options: RedisOptions = {}): Promise<OwnRedis> {
    const { appendfsync, password, tls, replicaOf, settings = {} } = options;
    const folder = await serviceFolder("redis");
    const port = freePort();
    const lines = [
      "bind 127.0.0.1",
      `dir ${folder}`,
      'save ""',
      tls ? `port 0\ntls-port ${port}\ntls-auth-clients no` : `port ${port}`,
      ...(tls ? [`tls-cert-file ${tls.certFile}`, `tls-key-file ${tls.keyFile}`] : []),
      ...(appendfsync ? ["appendonly yes", `appendfsync ${appendfsync}`] : ["appendonly no"]),
      ...(password ? [`requirepass ${password}`, `masterauth ${password}`] : []),
      ...(replicaOf ? [`replicaof 127.0.0.1 ${replicaOf}`] : []),
      ...Object.entries(settings).map(([name, value]) => `${name} ${value}`),
    ];
    const file = `${folder}/redis.conf`;
    await Deno.writeTextFile(file, `${lines.join("\n")}\n`);
    const secret = password === undefined ? "" : `:${encodeURIComponent(password)}@`;
    const url = `${tls ? "rediss" : "redis"}://${secret}127.0.0.1:${port}`;
    return await new OwnRedis(folder, port, ["redis-server", file], url).start();
  }

  /** A Redis that follows this one. */
  async replica(options: Omit<RedisOptions, "replicaOf"> = {}): Promise<OwnRedis> {
    return await OwnRedis.start({ ...options, replicaOf: this.port });
  }
}

/** A Redis Sentinel that watches `master` under the name `sd`, alone (its quorum is one). */
export class OwnSentinel extends PrivateService {
  static async start(master: OwnRedis, { downAfterMs = 1000 } = {}): Promise<OwnSentinel> {
    const folder = await serviceFolder("sentinel");
    const port = freePort();
    const file = `${folder}/sentinel.conf`;
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${folder}`,
      `sentinel monitor sd 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds sd ${downAfterMs}`,
      "sentinel failover-timeout sd 3000",
    ];
    await Deno.writeTextFile(file, `${lines.join("\n")}\n`);
    const command = ["redis-sentinel", file];
    return await new OwnSentinel({ name: "Sentinel", folder, port, command }).start();
  }
}

/** A NATS server with JetStream of the test's own. */
export class OwnNats extends PrivateService {
  static async start(options: { readonly token?: string } = {}): Promise<OwnNats> {
    const folder = await serviceFolder("nats");
    const port = freePort();
    const auth = options.token === undefined ? [] : ["--auth", options.token];
    const command = ["nats-server", "-js", "-sd", folder, "-a", "127.0.0.1", "-p", String(port)];
    const own = new OwnNats({ name: "NATS", folder, port, command: [...command, ...auth] });
    return await own.start();
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }
}

/** A RabbitMQ node of the test's own; it takes some seconds to start. */
export class OwnRabbit extends PrivateService {
  static async start(): Promise<OwnRabbit> {
    const folder = await serviceFolder("rabbit");
    const port = freePort();
    await Deno.writeTextFile(`${folder}/enabled_plugins`, "[].\n");
    await Deno.writeTextFile(`${folder}/rabbitmq.conf`, `listeners.tcp.1 = 127.0.0.1:${port}\n`);
    const env = {
      HOME: folder,
      RABBITMQ_NODENAME: `${ownName()}@localhost`,
      RABBITMQ_DIST_PORT: String(freePort()),
      RABBITMQ_MNESIA_BASE: `${folder}/data`,
      RABBITMQ_LOG_BASE: `${folder}/log`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
      RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
      RABBITMQ_PID_FILE: `${folder}/pid`,
    };
    const user = "rabbitmq";
    const command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"];
    const own = new OwnRabbit({ name: "RabbitMQ", folder, port, command, env, user });
    await runToEnd(["chown", "-R", USER === 0 ? user : String(USER), folder]);
    return await own.start();
  }

  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }
}
