// tinsmith.mjs: sealed language models (.tin) in a page. They compute in a Worker; the page never waits.
//
//   import { open } from "./tinsmith.mjs";
//   const model = await open("home.tin", { key: "RW…" });
//   const session = await model.session({ context: 1024 });
//   for await (const piece of session.ask("Turn on the light", { signal })) show(piece);
//
// The same file, words and seed give the same tokens as on every other machine.

export { forget } from "./cache.mjs";

export class TinError extends Error {
  constructor({ message, code, name }) {
    super(message);
    this.name = code === undefined ? name : "TinError";
    this.code = code;
  }
}

// A Worker, and the calls to it that are not answered yet.
class Line {
  #worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
  #open = new Map();
  #next = 1;

  constructor() {
    this.#worker.onmessage = ({ data }) => {
      const { result, error, ...more } = data;
      const call = this.#open.get(data.id);
      if (!("result" in data) && error === undefined) return call.more(more);
      this.#open.delete(data.id);
      if (error === undefined) call.resolve(result);
      else call.reject(new TinError(error));
    };
    this.#worker.onerror = (event) => {
      const error = new TinError({ message: `the Worker failed: ${event.message ?? "it can't be loaded"}`, name: "Error" });
      for (const call of this.#open.values()) call.reject(error);
      this.#open.clear();
    };
  }

  number() {
    return this.#next++;
  }

  ask(what, given, more = () => {}) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, more });
      this.#worker.postMessage({ id, what, ...given });
    });
  }

  end() {
    this.#worker.terminate();
  }
}

// Opens a .tin: a URL, or bytes (ArrayBuffer or Uint8Array). A file of a URL is kept by the browser (cache: false: it is
// not), and held to its SHA-256 each time. sha256: what that must be. key: minisign's "RW…": a file that its owner did not
// sign is refused; signature: the text of its .minisig file, default: the one beside the URL. progress(bytes, of).
export async function open(source, { key = "", signature, sha256, cache = true, progress = () => {} } = {}) {
  const line = new Line();
  const model = line.number();
  try {
    const given = { model, key, signature, sha256, cache };
    if (typeof source === "string" || source instanceof URL) given.url = new URL(source, location.href).href;
    else given.file = new Uint8Array(source);
    if (key !== "" && signature === undefined && given.url) given.signature = await beside(given.url);
    const about = await line.ask("open", given, (news) => progress(...news.progress));
    return new Model(line, model, about);
  } catch (error) {
    line.end();
    throw error;
  }
}

async function beside(url) {
  const answer = await fetch(`${url}.minisig`);
  return answer.ok ? answer.text() : "";
}

export class Model {
  #line;
  #number;

  constructor(line, number, { adapters, isa, digest, kept }) {
    this.#line = line;
    this.#number = number;
    Object.assign(this, { adapters, isa, digest, kept });
  }

  async session(options = {}) {
    const session = this.#line.number();
    const bytes = await this.#line.ask("session", { model: this.#number, session, options });
    return new Session(this.#line, session, bytes);
  }

  entry(name) {
    return this.#line.ask("entry", { model: this.#number, name });
  }

  // With its sessions, and the Worker.
  close() {
    this.#line.end();
  }
}

export class Session {
  #line;
  #number;

  constructor(line, number, bytes) {
    this.#line = line;
    this.#number = number;
    this.bytes = bytes; // of memory
    this.answer = null; // the last that came to its end
  }

  #call(name, ...given) {
    return this.#line.ask("call", { session: this.#number, name, given });
  }

  adapter(name, scale = 1) {
    return this.#call("adapter", name, scale);
  }

  constrained(on) {
    return this.#call("constrained", on);
  }

  sampling(how = {}) {
    return this.#call("sampling", how);
  }

  think(first) {
    return this.#call("think", first);
  }

  say(role, text) {
    return this.#call("say", role, text);
  }

  // A PNG's or JPEG's bytes, or an ImageData, before the text of the user's message that comes next.
  image(given) {
    return this.#call("image", given);
  }

  forget(k = 0) {
    return this.#call("forget", k);
  }

  messages() {
    return this.#call("messages");
  }

  save() {
    return this.#call("save");
  }

  restore(saved) {
    return this.#call("restore", saved);
  }

  copyFrom(other) {
    return this.#line.ask("copy", { session: this.#number, from: other.#number });
  }

  // Pieces of an answer to a text, or to the messages where it is null. To leave the loop, or to abort the signal, drops it.
  ask(text = null, { maxTokens = 256, signal } = {}) {
    return this.#pieces("begin", [text, maxTokens], signal);
  }

  complete(text, { maxTokens = 256, signal } = {}) {
    return this.#pieces("complete", [text, maxTokens], signal);
  }

  // Which of some options, each one line, is the answer.
  async choose(options, { signal } = {}) {
    for await (const _ of this.#pieces("choose", [options], signal));
    return this.answer.chosen;
  }

  async *#pieces(name, given, signal) {
    signal?.throwIfAborted();
    const pieces = [];
    let wake = () => {};
    let over = false;
    const tell = () => wake();
    const stop = () => this.#line.ask("cancel", { session: this.#number });
    const whole = this.#line.ask("begin", { session: this.#number, name, given }, ({ piece }) => {
      pieces.push(piece);
      tell();
    });
    const ended = whole.then(
      () => (over = true),
      () => (over = true),
    ).then(tell);
    signal?.addEventListener("abort", stop);
    try {
      while (!over || pieces.length) {
        signal?.throwIfAborted();
        if (pieces.length) yield pieces.shift();
        else await new Promise((go) => ((wake = go), over && go()));
      }
      signal?.throwIfAborted();
      this.answer = await whole;
    } finally {
      signal?.removeEventListener("abort", stop);
      if (!over) {
        stop();
        await ended; // the session is free again
      }
    }
  }

  close() {
    return this.#line.ask("closeSession", { session: this.#number });
  }
}
