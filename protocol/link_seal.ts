/**
 * The seal of a work link: each write is one or more encrypted records that only the two main threads can make or open.
 * Task code shares the process, and so the descriptors, with one of them. It can take bytes from the link or write bytes
 * to it, but it can neither read nor forge a record. A replayed or missing record is noticed.
 *
 *     pool → server   {"cmd":"work","version":3,"oldest":3,"seal":{"nonce":…,"ciphers":[…]}}   the offer, plain
 *     server → pool   {"seal":{"nonce":…,"cipher":…}}                               the answer, plain
 *     both            records: 4 bytes of length, ciphertext, 16 bytes of tag
 *
 * The keys, one for each direction, are derived by HKDF-SHA-256 from the pool's secret and the two plain lines. The nonce
 * of a record is its number in its direction, so after a missing, repeated or moved record the next one does not open.
 *
 * The first record of the pool is its hello. If it opens, the pool knows the secret; the welcome proves the same of the
 * server.
 */

import { createCipheriv, createDecipheriv, getCiphers, hkdfSync, randomBytes } from "node:crypto";
import { SdError } from "./errors.ts";
import { MAX_SEAL_RECORD_BYTES } from "./limits.ts";
import type { JsonObject } from "./message.ts";
import { OLDEST_WORK_VERSION, WORK_VERSION } from "./work_message.ts";

const HEAD_BYTES = 4, TAG_BYTES = 16, KEY_BYTES = 32, IV_BYTES = 12;
const AEAD = { authTagLength: TAG_BYTES };
const NONCE_BYTES = 32;
const NONCE = /^[0-9a-f]{64}$/;
const EMPTY = new Uint8Array(0);

/** Ciphers, the fastest first: on Deno 2.9 the first is ten times as fast, Deno 2.6 has only the second. */
const CIPHERS = ["chacha20-poly1305", "aes-256-gcm"] as const;
type Cipher = typeof CIPHERS[number];

/** A cipher or decipher of `node:crypto`, with the methods of both. */
interface Cipherer {
  update(bytes: Uint8Array): Uint8Array;
  final(): Uint8Array;
  getAuthTag(): Uint8Array;
  setAuthTag(tag: Uint8Array): void;
}
type NewCipherer = (
  cipher: Cipher,
  key: Uint8Array,
  iv: Uint8Array,
  options: typeof AEAD,
) => Cipherer;
const newCipher = createCipheriv as unknown as NewCipherer;
const newDecipher = createDecipheriv as unknown as NewCipherer;

/** Bytes on a sealed link that the other main thread did not seal, or missing bytes. */
export class SealError extends Error {
  override readonly name = "SealError";
}

export interface Seal {
  readonly sealer: RecordSealer;
  readonly opener: RecordOpener;
}

/** The first line of a pool. */
export function newSealOffer(): string {
  const seal = { nonce: newNonce(), ciphers: ownCiphers() };
  const versions = { version: WORK_VERSION, oldest: OLDEST_WORK_VERSION };
  return JSON.stringify({ cmd: "work", ...versions, seal });
}

/** The server's answer to `line`, which contains `offer`, and the server's seal. Throws `bad_request`. */
export function answerSealOffer(
  { line, offer, secret }: { line: string; offer: unknown; secret: string },
): { answer: string; seal: Seal } {
  const { nonce, ciphers } = (offer ?? {}) as JsonObject;
  const offered: readonly unknown[] = Array.isArray(ciphers) ? ciphers : [];
  const cipher = ownCiphers().find((own) => offered.includes(own));
  if (typeof nonce !== "string" || !NONCE.test(nonce) || cipher === undefined) {
    throw new SdError(
      "bad_request",
      'the "seal" of this work link has no nonce of 64 hex digits, or no cipher that this server has',
    );
  }
  const answer = JSON.stringify({ seal: { nonce: newNonce(), cipher } });
  const keys = deriveKeys({ secret, cipher, offer: line, answer });
  return { answer, seal: newSeal(cipher, { seal: keys.toPool, open: keys.toServer }) };
}

/** The pool's seal, from its offer and the server's answer. Throws if the answer is malformed. */
export function acceptSealAnswer(
  { offer, answer, secret }: { offer: string; answer: string; secret: string },
): Seal {
  const { nonce, cipher } = ((JSON.parse(answer) as JsonObject).seal ?? {}) as JsonObject;
  const chosen = ownCiphers().find((own) => own === cipher);
  if (typeof nonce !== "string" || !NONCE.test(nonce) || chosen === undefined) {
    throw new Error("the server's answer to the seal of the work link is not well formed");
  }
  const keys = deriveKeys({ secret, cipher: chosen, offer, answer });
  return newSeal(chosen, { seal: keys.toServer, open: keys.toPool });
}

/** Makes records of what one side writes. */
export class RecordSealer {
  readonly #cipher: Cipher;
  readonly #key: Uint8Array;
  readonly #number = new RecordNumber();

  constructor(cipher: Cipher, key: Uint8Array) {
    this.#cipher = cipher;
    this.#key = key;
  }

  /** `bytes` in as few records as possible. */
  seal(bytes: Uint8Array): Uint8Array {
    const records = Math.ceil(bytes.length / MAX_SEAL_RECORD_BYTES);
    const sealed = new Uint8Array(bytes.length + records * (HEAD_BYTES + TAG_BYTES));
    const view = new DataView(sealed.buffer);
    let end = 0;
    for (let at = 0; at < bytes.length; at += MAX_SEAL_RECORD_BYTES) {
      const piece = bytes.subarray(at, at + MAX_SEAL_RECORD_BYTES);
      const cipher = newCipher(this.#cipher, this.#key, this.#number.next(), AEAD);
      view.setUint32(end, piece.length + TAG_BYTES);
      sealed.set(cipher.update(piece), end + HEAD_BYTES);
      cipher.final();
      end += HEAD_BYTES + piece.length;
      sealed.set(cipher.getAuthTag(), end);
      end += TAG_BYTES;
    }
    return sealed;
  }
}

/** Opens the records that one side reads. After the first error it opens no more. */
export class RecordOpener {
  readonly #cipher: Cipher;
  readonly #key: Uint8Array;
  readonly #number = new RecordNumber();
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  /** Bytes of the present record with its head; 0 until the head is complete. */
  #needed = 0;
  #broken: SealError | undefined;

  constructor(cipher: Cipher, key: Uint8Array) {
    this.#cipher = cipher;
    this.#key = key;
  }

  /** The content of the records that are complete with `chunk`, which may be reused. Throws a `SealError`. */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#broken) throw this.#broken;
    const total = this.#restBytes + chunk.length;
    if (total < Math.max(this.#needed, HEAD_BYTES)) {
      this.#rest.push(chunk.slice());
      this.#restBytes = total;
      return EMPTY;
    }
    try {
      return this.#open(this.#restBytes > 0 ? joined([...this.#rest, chunk]) : chunk);
    } catch (error) {
      if (error instanceof SealError) this.#broken = error;
      throw error;
    }
  }

  #open(bytes: Uint8Array): Uint8Array {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const opened: Uint8Array[] = [];
    let at = 0;
    this.#needed = 0;
    while (at + HEAD_BYTES <= bytes.length) {
      const length = view.getUint32(at);
      if (length <= TAG_BYTES || length > MAX_SEAL_RECORD_BYTES + TAG_BYTES) {
        throw new SealError("the received bytes are no record");
      }
      const end = at + HEAD_BYTES + length;
      if (end > bytes.length) {
        this.#needed = HEAD_BYTES + length;
        break;
      }
      opened.push(this.#openRecord(bytes.subarray(at + HEAD_BYTES, end)));
      at = end;
    }
    this.#rest = at < bytes.length ? [bytes.slice(at)] : [];
    this.#restBytes = bytes.length - at;
    return opened.length === 1 ? opened[0]! : joined(opened);
  }

  #openRecord(record: Uint8Array): Uint8Array {
    const decipher = newDecipher(this.#cipher, this.#key, this.#number.next(), AEAD);
    decipher.setAuthTag(record.subarray(-TAG_BYTES));
    const opened = decipher.update(record.subarray(0, -TAG_BYTES));
    try {
      decipher.final();
    } catch (error) {
      // The tag belongs to other bytes. None of the bytes are used.
      throw new SealError("a record does not open", { cause: error });
    }
    return opened;
  }
}

/** The number of a record, as the nonce of its cipher: never repeated under one key. */
class RecordNumber {
  readonly #iv = new Uint8Array(IV_BYTES);
  readonly #view = new DataView(this.#iv.buffer);
  #next = 0;

  next(): Uint8Array {
    this.#view.setUint32(4, Math.floor(this.#next / 2 ** 32));
    this.#view.setUint32(8, this.#next % 2 ** 32);
    this.#next++;
    return this.#iv;
  }
}

function newSeal(cipher: Cipher, keys: { seal: Uint8Array; open: Uint8Array }): Seal {
  return {
    sealer: new RecordSealer(cipher, keys.seal),
    opener: new RecordOpener(cipher, keys.open),
  };
}

function deriveKeys(
  { secret, cipher, offer, answer }: {
    secret: string;
    cipher: Cipher;
    offer: string;
    answer: string;
  },
): { toServer: Uint8Array; toPool: Uint8Array } {
  const both = `${offer}\n${answer}\n`;
  const key = (way: string) =>
    new Uint8Array(hkdfSync("sha256", secret, both, `sd work link, ${cipher}, ${way}`, KEY_BYTES));
  return { toServer: key("to server"), toPool: key("to pool") };
}

let known: readonly Cipher[] | undefined;

/** The ciphers of this runtime. */
function ownCiphers(): readonly Cipher[] {
  return known ??= CIPHERS.filter((cipher) => getCiphers().includes(cipher));
}

function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString("hex");
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
