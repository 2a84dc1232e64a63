/** A connection to a server, on any runtime, plain or TLS. */

/** The other side, and the certificates to trust. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
  /** Use TLS; `caCerts`, in PEM, are trusted as well as the system's certificates. */
  readonly tls?: { readonly caCerts: readonly string[] };
  /** The bytes are encrypted once more: no byte can be added in between. */
  readonly isSealed?: boolean;
}

/** The bytes of a connection. Its promises reject if the connection is lost; only `close` can throw, if it is closed already. */
export interface Wire {
  /** Reads into `buffer`. Returns the number of bytes, or `null` once the other side has ended. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Returns the number of `bytes` that were written. */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends the sending side. */
  closeWrite(): Promise<void>;
  close(): void;
}
