/** The typed face of `pg`, which carries no types: the members that sd uses. */

declare module "pg" {
  import type { Duplex } from "node:stream";

  /** A row by the names of its columns. */
  // deno-lint-ignore no-explicit-any
  type PgRow = Record<string, any>;

  interface PgQuery {
    text: string;
    /** Of a prepared statement. */
    name?: string;
    values?: unknown[];
    /** Rows are arrays then. */
    rowMode?: "array";
  }

  interface PgClientOptions {
    connectionString?: string;
    host?: string;
    port?: number;
    user?: string;
    database?: string;
    /** Called at the login. */
    password?: () => Promise<string>;
    application_name?: string;
    ssl?: false | object;
    stream?: () => Duplex;
    types?: { getTypeParser: (oid: number) => (text: string) => unknown };
    /** Queries are sent without waiting for the answers of earlier ones. */
    pipeline?: boolean;
  }

  class PgClient {
    constructor(options: PgClientOptions);
    /** The process of the server, as it was named at the login. */
    readonly processID: number;
    connect(): Promise<void>;
    query(text: string, values?: unknown[]): Promise<{ rows: PgRow[] }>;
    query(
      query: PgQuery,
      answered: (error: Error | null, result: { rows: unknown[] }) => void,
    ): void;
    on(event: "error", listener: (error: Error) => void): this;
    on(event: "end", listener: () => void): this;
    on(event: "notification", listener: (message: { payload?: string }) => void): this;
    end(): Promise<void>;
  }

  const pg: { readonly Client: typeof PgClient };
  export default pg;
  export type { PgClient };
}
