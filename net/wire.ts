/** What a connection to a server is, whatever the runtime and whatever it speaks. */

/** Where to, and whom to trust. */
export interface Address {
  readonly hostname: string;
  readonly port: number;
  /** Speak TLS; `caCerts` in PEM are trusted besides those of the system. */
  readonly tls?: { readonly caCerts: readonly string[] };
  /** What travels is under a seal of its own: no byte may be put in between. */
  readonly isSealed?: boolean;
}

export interface Wire {
  /** Reads into `buffer`; how many bytes, or `null` once the other side has ended. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** How many of `bytes` were written. */
  write(bytes: Uint8Array): Promise<number>;
  /** This side sends nothing more. */
  closeWrite(): Promise<void>;
  close(): void;
}
