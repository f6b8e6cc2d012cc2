// Runs sealed language models (.tin). The same file, words and seed give the same tokens on every machine.

import type { Status } from "./native";

/** What went wrong: code is tin.h's status, message a line that says it. */
export class TinError extends Error {
  readonly code: Status | "UNKNOWN";
}

/** An open file. Sessions that are open keep it. */
export class Model {
  /** Opens a .tin, which is mapped. key: minisign's "RW…": a file that its owner did not sign is refused. */
  static open(path: string, options?: { key?: string }): Promise<Model>;
  /** Opens a .tin in memory, of which it takes a copy. signature: the text of its .minisig file. */
  static of(bytes: Uint8Array, options?: { key?: string; signature?: string }): Model;
  private constructor();
  /** An empty conversation, held to the file's own constraint where it has one. */
  session(options?: SessionOptions): Session;
  /** Names of the adapters in the file. */
  readonly adapters: string[];
  /** The file's text entry of a name ("manifest.json", …). */
  entry(name: string): string | null;
  /** The instruction set in use. */
  readonly isa: string;
  /** A number that equal files share. */
  readonly fingerprint: bigint;
  close(): void;
}

export interface SessionOptions {
  /** Most tokens; default: the model's own number. */
  context?: number;
  /** That compute; default 1. */
  threads?: number;
  /** At once; default 1. */
  adapters?: number;
  /** Of memory that it may take; default: any. */
  mostBytes?: number;
}

export type Role = "system" | "user" | "assistant" | "tool";

export interface Ask {
  /** Of the answer; default 256. */
  maxTokens?: number;
  /** Drops the answer, between two slices of 5 ms; its reason is thrown. */
  signal?: AbortSignal;
}

/** An answer so far, and what it took. */
export interface Answer {
  text: string;
  finish: "end" | "length" | "context" | "constraint" | null;
  tokens: number;
  /** How often the model was evaluated. */
  passes: number;
  /** Of tokens and the logits they were chosen by: the same on every machine. */
  digest: bigint;
}

/** A conversation. While a piece is awaited nothing else may be asked of it, but to close it. */
export class Session {
  private constructor();
  /** Puts an adapter of the file to work at a scale: 1 as it was trained, 0 takes it off; null takes off all. */
  adapter(name: string | null, scale?: number): void;
  /** Whether answers are held to the file's or the adapter's constraint, as a session begins. */
  constrained(on: boolean): void;
  /** How tokens are chosen. temperature 0 (default): the likeliest; repetition 1 (default): no penalty. */
  sampling(how?: { temperature?: number; topP?: number; repetition?: number; seed?: number | bigint }): void;
  /** Percent of the time that its threads work at most where a step has no budget; 100, as a session begins: all. */
  dutyCycle(percent: number): void;
  /** Whether the model thinks first; undefined: its template decides. */
  think(first?: boolean): void;
  /** Adds a message. */
  say(role: Role, text: string): void;
  /** Puts an image, a PNG or JPEG file's bytes, before the text of the user's message that comes next. */
  image(file: Uint8Array): void;
  /** As image, of pixels: rows of 3 bytes a pixel (RGB), or 4 (RGBA), which is without a number. */
  pixels(pixels: Uint8Array, width: number, height: number, channels?: number): void;
  /** Forgets all messages from the k-th on. */
  forget(k?: number): void;
  readonly messages: { role: Role; text: string }[];
  /**
   * Says a text as the user, unless it is null, and answers: pieces, computed off the loop. Leaving the loop drops the
   * answer.
   */
  ask(text?: string | null, options?: Ask): AsyncGenerator<string, void, undefined>;
  /** Goes on from a text as it is, without a chat template. It becomes no message. */
  complete(text: string, options?: Ask): AsyncGenerator<string, void, undefined>;
  /** Answers with one of some options, each one line; gives which. */
  choose(options: string[], how?: { signal?: AbortSignal }): Promise<number>;
  /** Begins what ask does, for a loop of your own over step. */
  begin(text?: string | null, options?: { maxTokens?: number }): void;
  /**
   * Works on this thread for about a budget in microseconds; 0 (default): until there is a piece, or the end. One below 0, as
   * what is left of a frame that is over, does the least that makes progress.
   */
  step(budget?: number): { event: "pending" | "piece" | "done" | "idle"; piece: string };
  /** Drops the answer under way: its messages stay. */
  cancel(): void;
  readonly answer: Answer;
  /** Of memory. */
  readonly bytes: number;
  /** Messages, adapters and caches. An answer under way is not part of it. */
  save(): Uint8Array;
  /** What save gave for a session of the same file, on any machine. On failure nothing changes. */
  restore(saved: Uint8Array): void;
  /** Becomes what another session of the model is: a fork. */
  copyFrom(other: Session): void;
  close(): void;
}
