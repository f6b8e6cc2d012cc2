// worker.mjs: the Worker of tinsmith.mjs. It computes in slices, and hears between two of them, so that a page may cancel.

import { fetchTin } from "./cache.mjs";
import { Host, Model } from "./host.mjs";

const SLICE = 8000; // microseconds
const host = Host.load();
host.catch(() => {}); // told where it is needed
const models = new Map();
const sessions = new Map();
const cancelled = new Set(); // sessions whose answer is to be dropped

// Messages that wait come before the next slice.
const { port1, port2 } = new MessageChannel();
const waiting = [];
port1.onmessage = () => waiting.shift()();
const breath = () =>
  new Promise((go) => {
    waiting.push(go);
    port2.postMessage(0);
  });

async function answer(session, id, begin) {
  begin();
  cancelled.delete(session);
  for (let over = false; !over; ) {
    await breath();
    if (cancelled.delete(session)) {
      session.cancel();
      return { cancelled: true };
    }
    const step = session.step(SLICE);
    over = step.over;
    if (step.piece) postMessage({ id, piece: step.piece });
  }
  return session.answer();
}

const CALLS = {
  async open({ id, model, url, file, key, signature, sha256, cache }) {
    const loaded = await host;
    let from = { block: file, digest: undefined, kept: false };
    if (file === undefined)
      from = await fetchTin(loaded, url, {
        sha256,
        cache,
        progress: (bytes, of) => postMessage({ id, progress: [bytes, of] }),
      });
    const made = new Model(loaded, from.block, { key, signature });
    models.set(model, made);
    return { adapters: made.adapters, isa: made.isa, digest: from.digest, kept: from.kept };
  },
  entry: ({ model, name }) => models.get(model).entry(name),
  session({ model, session, options }) {
    const made = models.get(model).session(options);
    sessions.set(session, made);
    return made.bytes();
  },
  // One of Session's methods, none of which takes long.
  call: ({ session, name, given }) => sessions.get(session)[name](...given),
  copy: ({ session, from }) => sessions.get(session).copyFrom(sessions.get(from)),
  begin({ id, session, name, given }) {
    const one = sessions.get(session);
    return answer(one, id, () => one[name](...given));
  },
  cancel: ({ session }) => void cancelled.add(sessions.get(session)),
  closeSession({ session }) {
    sessions.get(session).close();
    sessions.delete(session);
  },
  closeModel({ model }) {
    models.get(model).close();
    models.delete(model);
  },
};

onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, result: await CALLS[data.what](data) });
  } catch (error) {
    postMessage({ id: data.id, error: { message: error.message, code: error.code, name: error.name } });
  }
};
