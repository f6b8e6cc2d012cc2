// Runs sealed language models (.tin): index.d.ts says how. What computes does so on a thread of node's pool.
"use strict";

/** @type {import("./native").Native} */
const native = require(require("node:path").join(__dirname, "build", "tinsmith.node"));

const SLICE = 5000n; // microseconds between two looks at an AbortSignal

// A part of a microsecond is a whole one, since 0 is no bound; a bound of centuries is as good as any longer.
/** @param {number} budget */
function microseconds(budget) {
  if (typeof budget !== "number" || Number.isNaN(budget)) throw new TinError(-1, `a budget of ${budget}; give a number`);
  return budget < 0 ? -1n : BigInt(Math.min(Math.ceil(budget), Number.MAX_SAFE_INTEGER));
}

class TinError extends Error {
  /** @param {number} status @param {string | null} message */
  constructor(status, message) {
    super(message ?? "");
    this.name = "TinError";
    /** @type {string} */
    this.code = native.STATUSES[-status - 1] ?? "UNKNOWN";
  }
}

const models = new FinalizationRegistry((/** @type {import("./native").ModelHandle} */ handle) => native.close(handle));
const sessions = new FinalizationRegistry((/** @type {import("./native").SessionHandle} */ handle) =>
  native.sessionClose(handle),
);

class Model {
  /** @type {import("./native").ModelHandle | null} */
  #handle;
  #file; // stays while the model and its sessions do

  /** @param {import("./native").ModelHandle} handle @param {Uint8Array=} file */
  constructor(handle, file) {
    const status = native.modelStatus(handle);
    if (status < 0) {
      const error = new TinError(status, native.modelError(handle));
      native.close(handle);
      throw error;
    }
    this.#handle = handle;
    this.#file = file;
    models.register(this, handle, this);
  }

  /** @param {string} path */
  static async open(path, { key = "" } = {}) {
    return new Model(await native.openLater(path, key));
  }

  /** @param {Uint8Array} bytes */
  static of(bytes, { key = "", signature = "" } = {}) {
    const file = Uint8Array.from(bytes); // which nobody else writes to, or takes away
    return new Model(native.openMemory(file, signature === "" ? null : signature, key), file);
  }

  get #open() {
    if (this.#handle === null) throw new TinError(-7, "the model is closed");
    return this.#handle;
  }

  session({ context = 0, threads = 0, adapters = 0, mostBytes = 0 } = {}) {
    return new Session(native.sessionOpen(this.#open, context, threads, adapters, BigInt(mostBytes)), this.#file);
  }

  get adapters() {
    const names = [];
    for (let name; (name = native.adapterName(this.#open, names.length)) !== null; ) names.push(name);
    return names;
  }

  /** @param {string} name */
  entry(name) {
    return native.entry(this.#open, name);
  }

  get isa() {
    return native.isa(this.#open);
  }

  get fingerprint() {
    return BigInt.asUintN(64, native.fingerprint(this.#open));
  }

  close() {
    if (this.#handle === null) return;
    models.unregister(this);
    native.close(this.#handle);
    this.#handle = null;
  }
}

const ROLES = /** @type {const} */ (["system", "user", "assistant", "tool"]);
const FINISHES = /** @type {const} */ ([null, "end", "length", "context", "constraint"]);
const EVENTS = /** @type {const} */ (["pending", "piece", "done", "idle"]);

class Session {
  /** @type {import("./native").SessionHandle | null} */
  #handle;
  #file;
  #busy = false; // a step is under way on another thread
  #closing = false;

  /** @param {import("./native").SessionHandle} handle @param {Uint8Array=} file */
  constructor(handle, file) {
    const status = native.status(handle);
    if (status < 0) {
      const error = new TinError(status, native.error(handle));
      native.sessionClose(handle);
      throw error;
    }
    this.#handle = handle;
    this.#file = file;
    sessions.register(this, handle, this);
  }

  get #open() {
    if (this.#handle === null || this.#closing) throw new TinError(-7, "the session is closed");
    if (this.#busy) throw new TinError(-7, "a step is under way: await its piece");
    return this.#handle;
  }

  /** @param {number} status */
  #checked(status) {
    if (status < 0) throw new TinError(status, native.error(/** @type {any} */ (this.#handle)));
    return status;
  }

  /** @param {string | null} name */
  adapter(name, scale = 1) {
    this.#checked(native.adapter(this.#open, name, scale));
  }

  /** @param {boolean} on */
  constrained(on) {
    this.#checked(native.constrained(this.#open, on ? 1 : 0));
  }

  sampling({ temperature = 0, topP = 1, repetition = 1, seed = 0 } = {}) {
    this.#checked(native.sampling(this.#open, temperature, topP, repetition, BigInt(seed)));
  }

  /** @param {number} percent */
  dutyCycle(percent) {
    this.#checked(native.dutyCycle(this.#open, percent));
  }

  /** @param {boolean=} first */
  think(first) {
    this.#checked(native.think(this.#open, first === undefined ? 0 : first ? 1 : 2));
  }

  /** @param {"system" | "user" | "assistant" | "tool"} role @param {string} text */
  say(role, text) {
    const number = ROLES.indexOf(role);
    if (number < 0) throw new TinError(-1, `role ${role}; there are ${ROLES.join(", ")}`);
    this.#checked(native.say(this.#open, number, text));
  }

  /** @param {Uint8Array} file */
  image(file) {
    this.#checked(native.image(this.#open, file));
  }

  /** @param {Uint8Array} pixels @param {number} width @param {number} height @param {number} channels */
  pixels(pixels, width, height, channels = 4) {
    this.#checked(native.pixels(this.#open, pixels, width, height, channels));
  }

  forget(k = 0) {
    this.#checked(native.forget(this.#open, k));
  }

  get messages() {
    const handle = this.#open;
    return Array.from({ length: native.messages(handle) }, (_, k) => ({
      role: ROLES[native.messageRole(handle, k)],
      text: native.message(handle, k),
    }));
  }

  /** @param {string | null} text @param {{ maxTokens?: number, signal?: AbortSignal }} [options] */
  ask(text = null, { maxTokens = 256, signal } = {}) {
    return this.#pieces(() => this.#begin(text, maxTokens), signal);
  }

  /** @param {string} text @param {{ maxTokens?: number, signal?: AbortSignal }} [options] */
  complete(text, { maxTokens = 256, signal } = {}) {
    return this.#pieces(() => native.complete(this.#open, text, maxTokens), signal);
  }

  /** @param {string[]} options @param {{ signal?: AbortSignal }} [how] */
  async choose(options, { signal } = {}) {
    const long = options.find((option) => option.includes("\n"));
    if (long !== undefined) throw new TinError(-1, `${JSON.stringify(long)}: an option is one line`);
    for await (const _ of this.#pieces(() => native.choose(this.#open, `${options.join("\n")}\n`), signal));
    return native.chosen(this.#open);
  }

  /** @param {() => number} begin @param {AbortSignal=} signal */
  async *#pieces(begin, signal) {
    signal?.throwIfAborted();
    this.#checked(begin());
    let over = false;
    try {
      while (!over) {
        const event = await this.#later();
        signal?.throwIfAborted();
        over = event === native.DONE || event === native.IDLE;
        const piece = native.piece(this.#open);
        if (piece) yield piece;
      }
    } finally {
      if (!over && !this.#closing && this.#handle !== null) this.cancel();
    }
  }

  // A slice of work on a thread of the pool.
  async #later() {
    const handle = this.#open;
    this.#busy = true;
    try {
      return this.#checked(await native.stepLater(handle, SLICE));
    } finally {
      this.#busy = false;
      if (this.#closing) this.#close();
    }
  }

  // A slice of work here and now, of microseconds; 0: until there is a piece, or the end; below 0: the least.
  step(budget = 0) {
    const event = this.#checked(native.step(this.#open, microseconds(budget)));
    return { event: EVENTS[event], piece: native.piece(this.#open) ?? "" };
  }

  /** @param {string | null} text */
  begin(text = null, { maxTokens = 256 } = {}) {
    this.#checked(this.#begin(text, maxTokens));
  }

  /** @param {string | null} text @param {number} maxTokens */
  #begin(text, maxTokens) {
    return text === null ? native.begin(this.#open, maxTokens) : native.ask(this.#open, text, maxTokens);
  }

  cancel() {
    native.cancel(this.#open);
  }

  get answer() {
    const handle = this.#open;
    return {
      text: native.answer(handle) ?? "",
      finish: FINISHES[native.finish(handle)],
      tokens: native.tokens(handle),
      passes: native.passes(handle),
      digest: BigInt.asUintN(64, native.digest(handle)),
    };
  }

  get bytes() {
    return Number(native.sessionBytes(this.#open));
  }

  save() {
    const out = new Uint8Array(Number(native.saveSize(this.#open)));
    this.#checked(native.save(this.#open, out));
    return out;
  }

  /** @param {Uint8Array} saved */
  restore(saved) {
    this.#checked(native.restore(this.#open, saved));
  }

  /** @param {Session} other */
  copyFrom(other) {
    this.#checked(native.copy(this.#open, other.#open));
  }

  close() {
    if (this.#busy) this.#closing = true; // when the step is over
    else this.#close();
  }

  #close() {
    if (this.#handle === null) return;
    sessions.unregister(this);
    native.sessionClose(this.#handle);
    this.#handle = null;
  }
}

module.exports = { Model, Session, TinError };
