// Sealed language models (.tin) in a page: what tinsmith.mjs exports.

export class TinError extends Error {
  /** tin.h's status, such as "SIGNATURE"; undefined for what is no fault of a file or a call. */
  readonly code?: string;
}

export interface Open {
  /** minisign's public key, "RW…": a file that its owner did not sign is refused. */
  key?: string;
  /** The text of the .minisig file; default: the one beside the URL. */
  signature?: string;
  /** What the file's SHA-256 must be, in hexadecimal: a file that was kept under another is fetched anew. */
  sha256?: string;
  /** false: the browser does not keep the file. */
  cache?: boolean;
  /** of is 0 where the server does not say. */
  progress?: (bytes: number, of: number) => void;
}

/** Opens a .tin of a URL, or of bytes. */
export function open(source: string | URL | ArrayBuffer | Uint8Array, options?: Open): Promise<Model>;

/** Forgets the file that the browser kept of a URL; whether there was one. */
export function forget(url: string | URL): Promise<boolean>;

export class Model {
  private constructor();
  readonly adapters: string[];
  readonly isa: string;
  /** SHA-256 of a file of a URL. */
  readonly digest?: string;
  /** Whether the file came from what this browser had kept. */
  readonly kept: boolean;
  /** An empty conversation. context: most tokens; mostBytes: of memory. */
  session(options?: { context?: number; adapters?: number; mostBytes?: number }): Promise<Session>;
  entry(name: string): Promise<string | null>;
  /** With its sessions and its Worker. */
  close(): void;
}

export interface Ask {
  maxTokens?: number;
  /** Drops the answer; its reason is thrown. */
  signal?: AbortSignal;
}

export interface Answer {
  text: string;
  finish: "end" | "length" | "context" | "constraint" | null;
  tokens: number;
  passes: number;
  digest: bigint;
  /** The option that was chosen; -1 where none was. */
  chosen: number;
}

export type Role = "system" | "user" | "assistant" | "tool";

/** A conversation; one answer at a time. As in the package for node, but that its methods are promises. */
export class Session {
  private constructor();
  /** Of memory. */
  readonly bytes: number;
  /** The last that came to its end. */
  readonly answer: Answer | null;
  adapter(name: string | null, scale?: number): Promise<void>;
  constrained(on: boolean): Promise<void>;
  sampling(how?: { temperature?: number; topP?: number; repetition?: number; seed?: number | bigint }): Promise<void>;
  think(first?: boolean): Promise<void>;
  say(role: Role, text: string): Promise<void>;
  /** Puts an image, a PNG's or JPEG's bytes or a canvas's pixels, before the text of the user's next message. */
  image(given: Uint8Array | ImageData): Promise<void>;
  forget(k?: number): Promise<void>;
  messages(): Promise<{ role: Role; text: string }[]>;
  /** Says a text as the user, unless it is null, and answers. Leaving the loop drops the answer. */
  ask(text?: string | null, options?: Ask): AsyncGenerator<string, void, undefined>;
  complete(text: string, options?: Ask): AsyncGenerator<string, void, undefined>;
  choose(options: string[], how?: { signal?: AbortSignal }): Promise<number>;
  save(): Promise<Uint8Array>;
  restore(saved: Uint8Array): Promise<void>;
  copyFrom(other: Session): Promise<void>;
  close(): Promise<void>;
}
