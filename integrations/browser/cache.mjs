// cache.mjs: a .tin from the network, or as this browser kept it, into the module's memory. What is kept is held to its
// SHA-256 each time that it is read.

import { TinError } from "./host.mjs";

const STORE = "tinsmith";
const DIGEST = "x-sha256";

// Fills a block of the host's and returns { block, digest, kept }. sha256: the digest that the file must have, in
// hexadecimal; a file that was kept under another is fetched anew. cache: false neither looks nor keeps. progress(bytes, of)
// is called as they come; of is 0 where the server does not say.
export async function fetchTin(host, url, { sha256 = undefined, cache = true, progress = () => {} } = {}) {
  const store = cache && globalThis.caches ? await caches.open(STORE) : undefined;
  const kept = await store?.match(url);
  if (kept) {
    const block = await fill(host, kept, url, progress);
    const digest = await digestOf(host, block);
    if (digest === kept.headers.get(DIGEST) && (sha256 ?? digest) === digest) return { block, digest, kept: true };
    block.free();
    await store.delete(url); // damaged, or another version
  }
  const answer = await fetch(url, { cache: "no-cache" });
  if (!answer.ok) throw new TinError(-1, `${url}: ${answer.status} ${answer.statusText}`);
  const block = await fill(host, answer, url, progress);
  const digest = await digestOf(host, block);
  if (sha256 !== undefined && sha256 !== digest) {
    block.free();
    throw new TinError(-2, `${url}: has SHA-256 ${digest}, and should have ${sha256}`);
  }
  await keep(store, url, host.bytes(block.address, block.size), digest);
  return { block, digest, kept: false };
}

// Forgets what was kept of a URL; whether there was anything.
export async function forget(url) {
  return (await caches.open(STORE)).delete(url);
}

// A browser that has no room for it goes on without.
async function keep(store, url, bytes, digest) {
  const headers = { [DIGEST]: digest, "content-length": String(bytes.length) };
  try {
    await store?.put(url, new Response(new Blob([bytes]), { headers }));
  } catch (error) {
    if (error.name !== "QuotaExceededError") throw error;
    console.warn(`${url}: not kept, ${error.message}`);
  }
}

async function fill(host, answer, url, progress) {
  const packed = answer.headers.has("content-encoding"); // then the length is that of what was packed
  const stated = packed ? 0 : Number(answer.headers.get("content-length") ?? 0);
  if (stated === 0) {
    const whole = new Uint8Array(await answer.arrayBuffer());
    const block = host.block(whole.length);
    host.bytes(block.address, block.size).set(whole);
    progress(whole.length, whole.length);
    return block;
  }
  const block = host.block(stated);
  let at = 0;
  try {
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > stated) throw new TinError(-2, `${url}: is longer than the ${stated} bytes it stated`);
      host.bytes(block.address + at, value.length).set(value);
      progress((at += value.length), stated);
    }
    if (at < stated) throw new TinError(-2, `${url}: ends after ${at} of ${stated} bytes`);
  } catch (error) {
    block.free();
    throw error;
  }
  return block;
}

async function digestOf(host, block) {
  const digest = await crypto.subtle.digest("SHA-256", host.bytes(block.address, block.size));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
