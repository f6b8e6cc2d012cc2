// tin.mjs: runs a sealed language model (.tin) in a browser or in node, by tin.wasm beside it. Nothing else is needed.
//
//   import { load } from "./tin.mjs";
//   const model = await load(await (await fetch("home.tin")).arrayBuffer());
//   const session = model.session({ context: 1024 });
//   for (const piece of session.chat([{ role: "user", content: "Turn on the light" }])) show(piece);
//
// A piece is computed when it is asked for, on the calling thread: in a page, use it in a Worker, or await something
// between two pieces. The same file and input give the same tokens as on every other machine.

const ROLES = { system: 0, user: 1, assistant: 2, tool: 3 };
const WORD = 4; // bytes of a number or an address
const DIGEST = 32;
const [VISION_TEST, VISION_TEST_DIGEST] = ["vision/selftest.bin", 112]; // where its header has the digest (kernels/core/vision/vision_test.h)
const ROUTE = 4 * WORD; // tin_route
const END = -100;
const TURNS = "turns.bin";
const ANSWER = "grammar/answer.bin";
const NOTHING = { address: 0, size: 0 };

// The module's bytes: those given, or those of tin.wasm beside this file.
async function moduleBytes(given) {
  if (given !== undefined) return given;
  const url = new URL("tin.wasm", import.meta.url);
  if (url.protocol !== "file:") return (await fetch(url)).arrayBuffer();
  return (await import("node:fs/promises")).readFile(url);
}

// A model of a .tin's bytes (ArrayBuffer or Uint8Array).
// isa: "wasmsimd" or "scalar"; default: the best. module: the bytes of tin.wasm, or a WebAssembly.Module; default: the
// file beside this one. key: a minisign public key, "RW…": the file must be signed by its owner, in signature, the bytes
// or text of its .minisig file. minVersion: the least version that the signature may state. now: a Date that its
// not-after is held to; default: none. Throws an Error that says why a file is refused.
export async function load(file, { isa, module, key, signature, minVersion, now } = {}) {
  const code = await moduleBytes(module);
  const instance =
    code instanceof WebAssembly.Module
      ? await WebAssembly.instantiate(code, {})
      : (await WebAssembly.instantiate(code, {})).instance;
  return new Model(instance.exports, new Uint8Array(file), { isa, key, signature, minVersion, now });
}

export class Model {
  constructor(core, bytes, { isa, key, signature, minVersion, now } = {}) {
    this.core = core;
    this.encoder = new TextEncoder();
    const file = this.put(bytes);
    if (key !== undefined) this.verify(file, bytes.length, key, signature, minVersion, now);
    else if (minVersion !== undefined || now !== undefined) throw new Error("minVersion and now need a key");
    const name = isa === undefined ? 0 : this.put(this.encoder.encode(`${isa}\0`));
    this.address = this.some(core.tinw_open(file, bytes.length, name));
    core.tinw_free(name);
    this.isa = this.line(core.tinw_isa(this.address));
    this.context = core.tinw_context(this.address) >>> 0;
    this.manifest = JSON.parse(new TextDecoder().decode(this.entry("manifest.json")));
  }

  // Throws unless the owner of the key signed the file, which the model then computes from as it lies there.
  verify(file, length, key, signature = "", minVersion = 0, now = undefined) {
    const seconds = now === undefined ? 0 : Math.floor(now.getTime() / 1000);
    if (!Number.isInteger(minVersion) || minVersion < 0 || minVersion > 0xffffffff || !Number.isFinite(seconds))
      throw new Error("minVersion is a number up to 2^32 - 1, and now a Date");
    const text = typeof signature === "string" ? this.encoder.encode(signature) : new Uint8Array(signature);
    const words = this.put(text);
    const owner = this.put(this.encoder.encode(`${key}\0`));
    const status = this.core.tinw_verify(file, length, text.length ? words : 0, text.length, owner, minVersion, seconds);
    this.core.tinw_free(words);
    this.core.tinw_free(owner);
    this.number(status);
  }

  // A copy of a named entry of the file.
  entry(name) {
    const { address, size } = this.place(name);
    this.some(address);
    return this.bytes(address, size).slice();
  }

  // A conversation. context: the most tokens that it holds; default: the model's own. adapterRank: room for adapters, what
  // their ranks add up to at most.
  session({ context = 0, adapterRank = 0 } = {}) {
    return new Session(this, context, adapterRank);
  }

  // An adapter of this model: the name of one in the file, or the bytes (ArrayBuffer or Uint8Array) that `tinsmith export
  // --native` writes. It has a rank, 0 of a prefix, and may be in any number of sessions. Throws an Error that says why it does not fit.
  adapter(source) {
    const named = typeof source === "string";
    const data = named ? this.place(`adapter/${source}.bin`) : { size: source.length ?? source.byteLength };
    if (named && data.address === 0) throw new Error(`the file has no adapter ${source}`);
    if (!named) data.address = this.put(new Uint8Array(source));
    const address = this.core.tinw_adapter(this.address, data.address, data.size);
    if (address === 0 && !named) this.core.tinw_free(data.address);
    this.some(address);
    const [turns, answer] = [TURNS, ANSWER].map((name) => (named ? this.place(`adapter/${source}/${name}`) : NOTHING));
    return { address, rank: this.core.tinw_rank(address) >>> 0, turns, answer };
  }

  // Token ids of a text as it stands (Int32Array).
  tokenize(text) {
    return this.tokens(this.encoder.encode(text), (data, length, into, room) =>
      this.core.tinw_tokenize(this.address, data, length, into, room),
    );
  }

  // Token ids of messages, by the model's chat template, or the one that an adapter brings, up to where the assistant's
  // answer begins.
  render(messages, adapter = undefined) {
    const { turns } = adapter ?? { turns: NOTHING };
    return this.with(messages, (words) =>
      this.tokens(words, (data, length, into, room) =>
        this.core.tinw_chat(this.address, turns.address, turns.size, data, messages.length, into, room),
      ),
    );
  }

  // What a call makes of messages as the core has them, whose contents lie there meanwhile.
  with(messages, call) {
    const contents = messages.map((message) => this.put(this.encoder.encode(message.content)));
    try {
      const words = new Uint32Array(3 * messages.length);
      messages.forEach((message, k) => {
        const role = ROLES[message.role];
        if (role === undefined) throw new Error(`role ${message.role}; there are ${Object.keys(ROLES).join(", ")}`);
        words.set([role, contents[k], this.encoder.encode(message.content).length], 3 * k);
      });
      return call(new Uint8Array(words.buffer));
    } finally {
      for (const address of contents) this.core.tinw_free(address);
    }
  }

  // The words of an image before a message's content: of a PNG's or JPEG's bytes, or of an ImageData.
  image(given, message) {
    const file = given instanceof Uint8Array;
    const data = this.put(file ? given : new Uint8Array(given.data.buffer, given.data.byteOffset, given.data.byteLength));
    if (!file) {
      const { width, height } = given;
      if (given.data.length !== 4 * width * height) throw new Error("pixels are width * height * 4 bytes");
      this.core.tinw_rgb(data, width * height);
      return [data, 3 * width, width, height, message];
    }
    const place = this.put(new Uint8Array(5 * WORD));
    try {
      this.number(this.core.tinw_image(data, given.length, place));
      return [...new Uint32Array(this.bytes(place, 4 * WORD).slice().buffer), message];
    } finally {
      this.core.tinw_free(data);
      this.core.tinw_free(place);
    }
  }

  // The file's self-test by this module: [{ expected, found }] of hexadecimal SHA-256s, one for each prompt, and one for
  // the image of a file that has one.
  selftest() {
    const data = new DataView(this.entry("selftest.bin").buffer);
    const results = [];
    for (let at = 12, k = data.getUint32(8, true); k > 0; k--) {
      const count = data.getUint32(at, true);
      const tokens = Int32Array.from({ length: count }, (_, i) => data.getInt32(at + WORD * (i + 1), true));
      at += WORD * (count + 1) + DIGEST;
      const expected = hexadecimal(new Uint8Array(data.buffer, at - DIGEST, DIGEST));
      results.push({ expected, found: this.digest(tokens) });
    }
    const { address, size } = this.place(VISION_TEST);
    if (size) {
      const expected = hexadecimal(this.bytes(address + VISION_TEST_DIGEST, DIGEST));
      results.push({ expected, found: this.digested((into) => this.core.tinw_vision_test(this.address, into)) });
    }
    return results;
  }

  // The SHA-256 of the logits of every position of the tokens.
  digest(tokens) {
    const ids = this.put(new Uint8Array(Int32Array.from(tokens).buffer));
    const text = this.digested((into) => this.core.tinw_digest(this.address, ids, tokens.length, into));
    this.core.tinw_free(ids);
    return text;
  }

  // ---- What follows is this file's own: memory and errors ----

  digested(call) {
    const into = this.some(this.core.tinw_alloc(DIGEST));
    this.number(call(into));
    const text = hexadecimal(this.bytes(into, DIGEST));
    this.core.tinw_free(into);
    return text;
  }

  // Where a named entry of the file lies, and its bytes; 0 where there is none.
  place(name) {
    const text = this.put(this.encoder.encode(`${name}\0`));
    const address = this.core.tinw_entry(this.address, text) >>> 0;
    const size = this.core.tinw_entry_size(this.address, text) >>> 0;
    this.core.tinw_free(text);
    return { address, size };
  }

  tokens(bytes, call) {
    const data = this.put(bytes);
    const room = Math.min(this.context, 3 * bytes.length + 4096);
    const into = this.some(this.core.tinw_alloc(WORD * room));
    try {
      const count = this.number(call(data, bytes.length, into, room));
      if (count > room) throw new Error(`${count} tokens are more than the model's context of ${this.context}`);
      return new Int32Array(this.bytes(into, WORD * count).slice().buffer);
    } finally {
      this.core.tinw_free(data);
      this.core.tinw_free(into);
    }
  }

  // Memory moves when it grows: a view is good until the next call.
  bytes(address, size) {
    return new Uint8Array(this.core.memory.buffer, address >>> 0, size);
  }

  put(bytes) {
    const address = this.some(this.core.tinw_alloc(Math.max(bytes.length, 1)));
    this.bytes(address, bytes.length).set(bytes);
    return address;
  }

  line(address) {
    const memory = this.bytes(address, 256);
    return new TextDecoder().decode(memory.slice(0, memory.indexOf(0)));
  }

  some(address) {
    if (address === 0) throw new Error(this.line(this.core.tinw_error()));
    return address >>> 0;
  }

  number(value) {
    if (value < 0) throw new Error(this.line(this.core.tinw_error()));
    return value;
  }
}

export class Session {
  constructor(model, context, rank) {
    this.model = model;
    whole("context", context, 0);
    whole("adapterRank", rank, 0);
    this.address = model.some(model.core.tinw_session(model.address, context, 0, rank));
    this.length = model.some(model.core.tinw_alloc(WORD));
    this.adapters = new Set(); // in the order in which they are added
    this.constraints = new Map(); // by where their bytes lie
  }

  // Sets what an adapter counts from now on: 1 as it was trained, 0 to take it off; null takes off all. What was computed
  // under other adapters is computed again. The first of them says how it is asked and what it may answer, where it is one
  // of the file that brings a chat template or a constraint.
  adapter(adapter, scale = 1) {
    this.model.number(this.model.core.tinw_apply(this.address, adapter === null ? 0 : adapter.address, scale));
    if (adapter === null) this.adapters.clear();
    else if (scale === 0) this.adapters.delete(adapter);
    else this.adapters.add(adapter);
  }

  // Which adapter the file's router chooses for messages: { task, best, probability }, where task is null if it is none
  // of them. Takes off the session's adapters.
  route(messages) {
    const { model } = this;
    const tokens = model.render(messages);
    const ids = model.put(new Uint8Array(tokens.buffer));
    const into = model.some(model.core.tinw_alloc(ROUTE));
    try {
      const best = model.line(model.some(model.core.tinw_route(model.address, this.address, ids, tokens.length, into)));
      const found = new DataView(model.bytes(into, ROUTE).slice().buffer);
      const task = found.getUint32(WORD, true) === 1 ? best : null;
      return { task, best, probability: found.getFloat32(2 * WORD, true) };
    } finally {
      model.core.tinw_free(ids);
      model.core.tinw_free(into);
    }
  }

  // Pieces of the answer to messages ({ role, content, images }). What they share with the session's tokens is not
  // computed again. images: before a user's content, bytes (Uint8Array) of PNG or JPEG files, or ImageData.
  chat(messages, options) {
    const [adapter] = this.adapters;
    if (messages.some(({ images }) => images?.length)) {
      this.show(messages, adapter?.turns ?? NOTHING);
      return this.generate(null, options);
    }
    return this.generate(this.model.render(messages, adapter), options);
  }

  // Makes messages with images the session's tokens, and encodes the images that it lacks.
  show(messages, turns) {
    const { model } = this;
    const seen = [];
    try {
      messages.forEach(({ images = [] }, k) => images.forEach((one) => seen.push(model.image(one, k))));
      const list = model.put(new Uint8Array(Uint32Array.from(seen.flat()).buffer));
      model.with(messages, (words) => {
        const data = model.put(words);
        const [one, two] = [turns.address, turns.size];
        const status = model.core.tinw_show(model.address, this.address, one, two, data, messages.length, list, seen.length);
        for (const address of [data, list]) model.core.tinw_free(address);
        model.number(status);
      });
    } finally {
      for (const [rgb] of seen) model.core.tinw_free(rgb);
    }
  }

  // Pieces of the text that follows a text.
  complete(text, options) {
    return this.generate(this.model.tokenize(text), options);
  }

  // Pieces of the text that follows tokens; null: the session's own. temperature 0 is greedy; the same seed gives the
  // same text. unconstrained: without the file's or the adapter's constraint.
  *generate(tokens, { maxTokens = 256, temperature = 0, topP = 1, seed = 0, unconstrained = false } = {}) {
    const { model } = this;
    whole("maxTokens", maxTokens, 1);
    whole("seed", seed, 0);
    for (const token of tokens ?? []) whole("token", token, 0);
    model.number(model.core.tinw_constrain(this.address, unconstrained ? 0 : this.constraint()));
    const ids = tokens === null ? 0 : model.put(new Uint8Array(Int32Array.from(tokens).buffer));
    const begun = model.core.tinw_generate(this.address, ids, tokens?.length ?? 0, maxTokens, temperature, topP, seed);
    model.core.tinw_free(ids);
    model.number(begun);
    const decoder = new TextDecoder();
    for (;;) {
      const token = model.core.tinw_next(this.address);
      if (token === END) break;
      if (token < 0) throw new Error(`a step failed with status ${token}`);
      const text = model.core.tinw_text(model.address, token, this.length);
      const [size] = new Uint32Array(model.bytes(this.length, WORD).slice().buffer);
      const piece = decoder.decode(model.bytes(text, size), { stream: true });
      if (piece) yield piece;
    }
    const rest = decoder.decode();
    if (rest) yield rest;
  }

  // The constraint of the first adapter, or else of the file; 0 where neither has one.
  constraint() {
    const { model } = this;
    const [adapter] = this.adapters;
    const { address, size } = adapter?.answer.address ? adapter.answer : model.place(ANSWER);
    if (address !== 0 && !this.constraints.has(address))
      this.constraints.set(address, model.some(model.core.tinw_constraint(model.address, address, size)));
    return this.constraints.get(address) ?? 0;
  }

  // Gives its memory back. The session is of no use any more.
  close() {
    for (const constraint of this.constraints.values()) this.model.core.tinw_free(constraint);
    this.model.core.tinw_free(this.length);
    this.model.core.tinw_free(this.address);
  }
}

// What is given to the core, which would take the lowest 32 bits of any number.
function whole(name, number, least) {
  if (!Number.isInteger(number) || number < least || number > 0xffffffff)
    throw new Error(`${name} ${number}; give a whole number, ${least} to 4294967295`);
}

function hexadecimal(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
