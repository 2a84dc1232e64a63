/**
 * The URLs of `--intake`: which message server, which queue or stream, with which credentials. A password stands in the URL, in
 * `SD_INTAKE_PASSWORD`, or in the file that `SD_INTAKE_PASSWORD_FILE` names. Only `shown` may appear in a log or on the wire.
 */

import { ClientError } from "../../net/client_error.ts";
import { quote } from "../../protocol/errors.ts";

/** A message server and the place there from which tasks come. */
export interface IntakeUrl {
  readonly kind: "amqp" | "nats";
  /** Stands in the routes of its tasks: the same after the message server has moved to another host. */
  readonly name: string;
  /** The URL without credentials. */
  readonly shown: string;
  readonly hostname: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Of RabbitMQ. */
  readonly vhost: string;
  /** The queue, or the stream. */
  readonly source: string;
  /** Of NATS: the durable consumer, and the subject that it reads. */
  readonly consumer: string;
  readonly subject: string | undefined;
  /** The exchange, or the subject, of refused messages. */
  readonly dead: string;
  /** Most messages that are delivered and not yet taken. */
  readonly prefetch: number;
  /** Of NATS: the operator says that the server syncs before it acknowledges. */
  readonly isSynced: boolean;
}

/** Where passwords come from beside the URL. */
interface IntakePassword {
  readonly variable: string | undefined;
  readonly file: string | undefined;
}

const MAX_PREFETCH = 10_000;
const DEFAULT_PREFETCH = 1000;
/** Names that RabbitMQ takes for queues and exchanges are shorter than this, in bytes. */
const MAX_NAME_BYTES = 200;
const PARAMETERS = {
  amqp: ["queue", "prefetch", "dead"],
  nats: ["stream", "consumer", "subject", "prefetch", "dead", "synced"],
};
const SCHEMES: Readonly<Record<string, Pick<IntakeUrl, "kind" | "isTls" | "port">>> = {
  "amqp:": { kind: "amqp", isTls: false, port: 5672 },
  "amqps:": { kind: "amqp", isTls: true, port: 5671 },
  "nats:": { kind: "nats", isTls: false, port: 4222 },
  "tls:": { kind: "nats", isTls: true, port: 4222 },
};
const EXAMPLES =
  "amqp://USER@HOST/VHOST?queue=sd.tasks for RabbitMQ, nats://HOST?stream=TASKS for NATS JetStream";

/** The intakes that the URLs name. Throws `usage` with what is wrong; no message of it holds a password. */
export function readIntakes(
  urls: readonly string[],
  given: IntakePassword = { variable: undefined, file: undefined },
): IntakeUrl[] {
  const password = passwordOf(given);
  const intakes = urls.map((url) => readIntake(url, password));
  const names = intakes.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw usage(`--intake names ${quote(twice)} twice`);
  return intakes;
}

function readIntake(text: string, password: string | undefined): IntakeUrl {
  if (!URL.canParse(text)) throw usage("--intake is no URL", `write it like ${EXAMPLES}`);
  const url = new URL(text);
  // A password with a slash or a question mark looks like a path or parameters, and must not be shown as such.
  if (`${url.pathname}${url.search}${url.hash}`.includes("@")) {
    throw usage(
      "--intake has an @ behind its host",
      "write %40 for @, %2F for /, %3F for ? and %23 for # in a password or a name",
    );
  }
  const scheme = SCHEMES[url.protocol];
  if (!scheme || url.hostname === "") {
    throw usage(
      `--intake takes tasks from no ${quote(url.protocol + "//")}`,
      `write it like ${EXAMPLES}`,
    );
  }
  const { kind } = scheme;
  const parameters = url.searchParams;
  for (const name of parameters.keys()) {
    if (PARAMETERS[kind].includes(name)) continue;
    throw usage(
      `--intake ${kind}: has no parameter ${quote(name)}`,
      `it has: ${PARAMETERS[kind].join(", ")}`,
    );
  }
  const sourceName = kind === "amqp" ? "queue" : "stream";
  const source = nameIn(parameters, sourceName, kind);
  if (source === undefined) {
    throw usage(`--intake ${kind}: needs a ${sourceName}`, `write it like ${EXAMPLES}`);
  }
  const vhost = kind === "amqp" ? decoded(url.pathname.slice(1)) || "/" : "";
  const place = kind === "amqp" ? `${vhost === "/" ? "" : vhost}/${source}` : source;
  return {
    ...scheme,
    name: `${kind}:${place}`,
    shown: `${url.protocol}//${url.host}${url.pathname}?${sourceName}=${source}`,
    hostname: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? scheme.port : Number(url.port),
    username: url.username === "" ? undefined : decoded(url.username),
    password: url.password === "" ? password : decoded(url.password),
    vhost,
    source,
    consumer: nameIn(parameters, "consumer", kind) ?? "sd",
    subject: nameIn(parameters, "subject", kind),
    dead: nameIn(parameters, "dead", kind) ??
      (kind === "amqp" ? `${source}.dead` : `dead.${source}`),
    prefetch: prefetchIn(parameters),
    isSynced: ["", "1", "yes", "true"].includes(parameters.get("synced") ?? "no"),
  };
}

function nameIn(parameters: URLSearchParams, name: string, kind: string): string | undefined {
  const value = parameters.get(name);
  if (value === null) return undefined;
  const isShort = value !== "" && new TextEncoder().encode(value).length <= MAX_NAME_BYTES;
  const isWord = kind === "amqp" || name === "subject" || name === "dead"
    // deno-lint-ignore no-control-regex
    ? !/[\x00-\x20\x7f]/.test(value)
    : /^[^\s.*>/\\]+$/.test(value);
  if (isShort && isWord) return value;
  throw usage(
    `--intake: ${name} is a name of 1 to ${MAX_NAME_BYTES} bytes without spaces; this is ${
      quote(value)
    }`,
  );
}

function prefetchIn(parameters: URLSearchParams): number {
  const text = parameters.get("prefetch");
  if (text === null) return DEFAULT_PREFETCH;
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= MAX_PREFETCH) return value;
  throw usage(
    `--intake: prefetch is an integer from 1 to ${MAX_PREFETCH}; this is ${quote(text)}`,
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usage("--intake: a part of the URL has a % that begins no escape", "write % as %25");
  }
}

function passwordOf({ variable, file }: IntakePassword): string | undefined {
  if (variable) return variable;
  if (!file) return undefined;
  try {
    return Deno.readTextFileSync(file).replace(/\r?\n$/, "");
  } catch (error) {
    throw new ClientError(
      "usage",
      `cannot read ${file} (SD_INTAKE_PASSWORD_FILE): ${
        error instanceof Error ? error.message : String(error)
      }`,
      { cause: error },
    );
  }
}

function usage(message: string, hint?: string): ClientError {
  return new ClientError("usage", message, hint === undefined ? {} : { hint });
}
