// Made by scripts/bindings.py of kernels/include/tin_host.h: change that.
// The addon's own face; index.d.ts has the one to use.

export interface ModelHandle { readonly __ModelHandle: never }
export interface SessionHandle { readonly __SessionHandle: never }

export interface Native {
  open(path: string | null, key: string | null): ModelHandle;
  openMemory(file: Uint8Array, signature: string | null, key: string | null): ModelHandle;
  close(model: ModelHandle): void;
  modelError(model: ModelHandle): string | null;
  modelStatus(model: ModelHandle): number;
  adapterName(model: ModelHandle, k: number): string | null;
  entry(model: ModelHandle, name: string | null): string | null;
  isa(model: ModelHandle): string | null;
  fingerprint(model: ModelHandle): bigint;
  sessionOpen(model: ModelHandle, context: number, threads: number, adapters: number, most_bytes: bigint): SessionHandle;
  sessionClose(session: SessionHandle): void;
  error(session: SessionHandle): string | null;
  status(session: SessionHandle): number;
  sessionBytes(session: SessionHandle): bigint;
  adapter(session: SessionHandle, name: string | null, scale: number): number;
  constrained(session: SessionHandle, on: number): number;
  sampling(session: SessionHandle, temperature: number, top_p: number, repetition: number, seed: bigint): number;
  dutyCycle(session: SessionHandle, percent: number): number;
  think(session: SessionHandle, mode: number): number;
  say(session: SessionHandle, role: number, text: string | null): number;
  image(session: SessionHandle, file: Uint8Array): number;
  pixels(session: SessionHandle, pixels: Uint8Array, width: number, height: number, channels: number): number;
  forget(session: SessionHandle, k: number): number;
  messages(session: SessionHandle): number;
  message(session: SessionHandle, k: number): string | null;
  messageRole(session: SessionHandle, k: number): number;
  begin(session: SessionHandle, most_tokens: number): number;
  ask(session: SessionHandle, text: string | null, most_tokens: number): number;
  choose(session: SessionHandle, options: string | null): number;
  complete(session: SessionHandle, text: string | null, most_tokens: number): number;
  step(session: SessionHandle, budget_us: bigint): number;
  piece(session: SessionHandle): string | null;
  answer(session: SessionHandle): string | null;
  chosen(session: SessionHandle): number;
  finish(session: SessionHandle): number;
  tokens(session: SessionHandle): number;
  passes(session: SessionHandle): number;
  digest(session: SessionHandle): bigint;
  cancel(session: SessionHandle): void;
  saveSize(session: SessionHandle): bigint;
  save(session: SessionHandle, out: Uint8Array): number;
  restore(session: SessionHandle, data: Uint8Array): number;
  copy(to: SessionHandle, from: SessionHandle): number;
  /** On a thread of the pool. */
  openLater(path: string, key: string): Promise<ModelHandle>;
  stepLater(session: SessionHandle, budget_us: bigint): Promise<number>;
  readonly PENDING: 0;
  readonly PIECE: 1;
  readonly DONE: 2;
  readonly IDLE: 3;
  readonly ROLE_SYSTEM: 0;
  readonly ROLE_USER: 1;
  readonly ROLE_ASSISTANT: 2;
  readonly ROLE_TOOL: 3;
  readonly FINISH_NONE: 0;
  readonly FINISH_END: 1;
  readonly FINISH_LENGTH: 2;
  readonly FINISH_CONTEXT: 3;
  readonly FINISH_CONSTRAINT: 4;
  /** Of status -1, -2, … */
  readonly STATUSES: readonly Status[];
}

export type Status = "ARGUMENT" | "FORMAT" | "VERSION" | "UNSUPPORTED" | "MEMORY" | "CONTEXT" | "STATE" | "TEXT" | "SIGNATURE";
