// host.mjs: tin_host.h's functions in tinhost.wasm, and models and sessions over them, on the calling thread. Pages use
// tinsmith.mjs, whose Worker runs this; a Worker of your own, or node, may use it as it is.

import { DONE, FUNCTIONS, IDLE, STATUSES } from "./table.mjs";

const ALIGNMENT = 64;
const ROLES = ["system", "user", "assistant", "tool"];
const FINISHES = [null, "end", "length", "context", "constraint"];
const EVENTS = ["pending", "piece", "done", "idle"];
const NO_SUCH_CALL = 52; // WASI's ENOSYS

// code: tin.h's status, such as "SIGNATURE"; message: a line.
export class TinError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "TinError";
    this.code = STATUSES[-status - 1] ?? "UNKNOWN";
  }
}

// Of all that WASI has, a clock (monotonic, in nanoseconds) and an empty environment.
function system(memory) {
  const view = () => new DataView(memory().buffer);
  const calls = {
    clock_time_get(_clock, _precision, out) {
      view().setBigUint64(out, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
    environ_sizes_get(count, size) {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return 0;
    },
    environ_get: () => 0,
    proc_exit(code) {
      throw new Error(`the module ended with ${code}`);
    },
  };
  return new Proxy(calls, { get: (known, name) => known[name] ?? (() => NO_SUCH_CALL) });
}

// A part of a microsecond is a whole one, since 0 is no bound; a bound of centuries is as good as any longer.
function microseconds(budget) {
  if (typeof budget !== "number" || Number.isNaN(budget)) throw new TinError(-1, `a budget of ${budget}; give a number`);
  return budget < 0 ? -1 : Math.min(Math.ceil(budget), Number.MAX_SAFE_INTEGER);
}

// The engine's own count of an array's bytes: a subclass may make `length` say anything.
const { get: countOf } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), "byteLength");

// tin_host.h by name: strings for texts, Uint8Arrays or blocks of the module's for blocks, numbers or BigInts for int64_t.
export class Host {
  #core;
  #encoder = new TextEncoder();
  #decoder = new TextDecoder();

  // module: a WebAssembly.Module or its bytes; default: tinhost.wasm beside this file.
  static async load(module = undefined) {
    const host = new Host();
    const code = module ?? (await bytesOf(new URL("tinhost.wasm", import.meta.url)));
    const imports = { wasi_snapshot_preview1: system(() => host.#core.memory) };
    const made = await WebAssembly.instantiate(code, imports);
    host.#core = (made.instance ?? made).exports;
    host.#core._initialize();
    for (const [name, [symbol, result, kinds]] of Object.entries(FUNCTIONS))
      host[name] = (...given) => host.#call(symbol, result, kinds, given);
    return host;
  }

  #call(symbol, result, kinds, given) {
    const taken = [];
    try {
      const words = kinds.flatMap((kind, k) => this.#words(kind, given[k], taken));
      const found = this.#core[symbol](...words);
      for (const { kind, address, size, value } of taken)
        if (kind === "room") value.set(this.bytes(address, size));
      return result === "text" ? this.#text(found) : found;
    } finally {
      for (const { address } of taken) this.#core.free(address);
    }
  }

  // What an argument is to the module: a block is its address and its bytes.
  #words(kind, value, taken) {
    if (kind === "long") {
      const number = BigInt(value);
      // WebAssembly takes the lowest 64 bits of any number, and the lowest 32 of those below.
      if (BigInt.asIntN(64, number) !== number) throw new TinError(-1, `${value} is no whole number of 64 bits`);
      return number;
    }
    if (kind === "int" && (value | 0) !== value) throw new TinError(-1, `${value} is no whole number of 32 bits`);
    if (kind === "text") return value === null ? 0 : this.#copied(kind, this.#encoder.encode(`${value}\0`), taken).address;
    if (kind !== "data" && kind !== "room") return value;
    const { address, size } = value instanceof Uint8Array ? this.#copied(kind, value, taken) : value;
    return [address, BigInt(size)];
  }

  #copied(kind, value, taken) {
    const size = countOf.call(value);
    if (kind === "text" && value.indexOf(0) < size - 1) throw new TinError(-1, "the text has a NUL; leave it out");
    const address = this.#core.malloc(Math.max(size, 1)) >>> 0;
    if (address === 0) throw new TinError(-5, `there is no memory for ${size} bytes`);
    const block = { kind, address, size, value };
    taken.push(block);
    if (kind !== "room") this.bytes(address, size).set(value);
    return block;
  }

  #text(address) {
    if (address === 0) return null;
    const memory = new Uint8Array(this.#core.memory.buffer, address >>> 0);
    return this.#decoder.decode(memory.subarray(0, memory.indexOf(0)));
  }

  // The module's memory, which moves when it grows: a view is good until the next call.
  bytes(address, size) {
    return new Uint8Array(this.#core.memory.buffer, address >>> 0, size);
  }

  // A block for a file, aligned as the library wants it, so that it is used in place: { address, free }.
  block(size) {
    const start = this.#core.malloc(size + ALIGNMENT) >>> 0;
    if (start === 0) throw new TinError(-5, `there is no memory for a file of ${size} bytes`);
    const address = Math.ceil(start / ALIGNMENT) * ALIGNMENT;
    return { address, size, free: () => this.#core.free(start) };
  }
}

async function bytesOf(url) {
  if (url.protocol === "file:") return (await import("node:fs/promises")).readFile(url);
  const answer = await fetch(url);
  if (!answer.ok) throw new TinError(-1, `${url}: ${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

export class Model {
  // file: a Uint8Array, or a block of the host's that is the model's from here on.
  constructor(host, file, { key = "", signature = "" } = {}) {
    this.host = host;
    this.block = file instanceof Uint8Array ? host.block(countOf.call(file)) : file;
    if (file instanceof Uint8Array) host.bytes(this.block.address, this.block.size).set(file);
    this.handle = host.openMemory(this.block, signature === "" ? null : signature, key);
    this.sessions = new Set();
    const status = host.modelStatus(this.handle);
    if (status < 0) {
      const error = new TinError(status, host.modelError(this.handle));
      this.close();
      throw error;
    }
  }

  session(options = {}) {
    return new Session(this, options);
  }

  get adapters() {
    const names = [];
    for (let name; (name = this.host.adapterName(this.handle, names.length)) !== null; ) names.push(name);
    return names;
  }

  get isa() {
    return this.host.isa(this.handle);
  }

  entry(name) {
    return this.host.entry(this.handle, name);
  }

  // With its sessions.
  close() {
    for (const session of this.sessions) session.close();
    this.host.close(this.handle);
    this.block.free();
    this.handle = 0;
  }
}

export class Session {
  constructor(model, { context = 0, adapters = 0, mostBytes = 0 } = {}) {
    this.model = model;
    this.host = model.host;
    this.handle = this.host.sessionOpen(model.handle, context, 1, adapters, mostBytes);
    const status = this.host.status(this.handle);
    if (status < 0) {
      const error = new TinError(status, this.host.error(this.handle));
      this.host.sessionClose(this.handle);
      throw error;
    }
    model.sessions.add(this);
  }

  #checked(status) {
    if (status >= 0) return status;
    if (this.handle === 0) throw new TinError(-7, "the session is closed");
    throw new TinError(status, this.host.error(this.handle));
  }

  adapter(name, scale = 1) {
    this.#checked(this.host.adapter(this.handle, name, scale));
  }

  constrained(on) {
    this.#checked(this.host.constrained(this.handle, on ? 1 : 0));
  }

  sampling({ temperature = 0, topP = 1, repetition = 1, seed = 0 } = {}) {
    this.#checked(this.host.sampling(this.handle, temperature, topP, repetition, seed));
  }

  think(first = undefined) {
    this.#checked(this.host.think(this.handle, first === undefined ? 0 : first ? 1 : 2));
  }

  say(role, text) {
    const number = ROLES.indexOf(role);
    if (number < 0) throw new TinError(-1, `role ${role}; there are ${ROLES.join(", ")}`);
    this.#checked(this.host.say(this.handle, number, text));
  }

  // A PNG's or JPEG's bytes, or an ImageData, before the text of the user's message that comes next.
  image(given) {
    const { host, handle } = this;
    this.#checked(
      given instanceof Uint8Array
        ? host.image(handle, given)
        : host.pixels(handle, new Uint8Array(given.data.buffer, given.data.byteOffset, given.data.byteLength), given.width, given.height, 4),
    );
  }

  forget(k = 0) {
    this.#checked(this.host.forget(this.handle, k));
  }

  messages() {
    const { host, handle } = this;
    return Array.from({ length: host.messages(handle) }, (_, k) => ({
      role: ROLES[host.messageRole(handle, k)],
      text: host.message(handle, k),
    }));
  }

  // Begins an answer: to a text, to the messages where it is null; one of some options; what goes on from a text.
  begin(text = null, maxTokens = 256) {
    const { host, handle } = this;
    this.#checked(text === null ? host.begin(handle, maxTokens) : host.ask(handle, text, maxTokens));
  }

  choose(options) {
    const long = options.find((option) => option.includes("\n"));
    if (long !== undefined) throw new TinError(-1, `${JSON.stringify(long)}: an option is one line`);
    this.#checked(this.host.choose(this.handle, `${options.join("\n")}\n`));
  }

  complete(text, maxTokens = 256) {
    this.#checked(this.host.complete(this.handle, text, maxTokens));
  }

  // Goes on for about a budget in microseconds; 0: until there is a piece, or the end; below 0: the least.
  step(budget = 0) {
    const event = this.#checked(this.host.step(this.handle, microseconds(budget)));
    return { event: EVENTS[event], piece: this.host.piece(this.handle), over: event === DONE || event === IDLE };
  }

  cancel() {
    this.host.cancel(this.handle);
  }

  answer() {
    const { host, handle } = this;
    return {
      text: host.answer(handle),
      finish: FINISHES[host.finish(handle)],
      tokens: host.tokens(handle),
      passes: host.passes(handle),
      digest: BigInt.asUintN(64, host.digest(handle)),
      chosen: host.chosen(handle),
    };
  }

  bytes() {
    return Number(this.host.sessionBytes(this.handle));
  }

  save() {
    const out = new Uint8Array(Number(this.host.saveSize(this.handle)));
    this.#checked(this.host.save(this.handle, out));
    return out;
  }

  restore(saved) {
    this.#checked(this.host.restore(this.handle, saved));
  }

  copyFrom(other) {
    this.#checked(this.host.copy(this.handle, other.handle));
  }

  close() {
    if (this.handle === 0) return;
    this.model.sessions.delete(this);
    this.host.sessionClose(this.handle);
    this.handle = 0;
  }
}
