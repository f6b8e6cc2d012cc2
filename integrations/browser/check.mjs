// What check.py asks of a page.
import { conformance } from "./conformance.mjs";
import { forget, open } from "./tinsmith.mjs";

export async function cases() {
  const given = await (await fetch("/cases.json")).json();
  const read = async (file) => new Uint8Array(await (await fetch(`/${file}`)).arrayBuffer());
  return conformance((file, options) => open(`/${file}`, options), given, read);
}

// Frames that the page painted while an answer came, and the longest time between two, in milliseconds.
export async function smooth() {
  const model = await open("/plain.tin");
  const session = await model.session({ context: 512 });
  const times = [performance.now()];
  let on = true;
  const frame = (now) => {
    times.push(now);
    if (on) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  for await (const _ of session.ask("Please shut the port hatch.", { maxTokens: 24 }));
  on = false;
  model.close();
  return { frames: times.length, longest: Math.max(...times.slice(1).map((time, k) => time - times[k])) };
}

// What is kept is used, not asked for; a byte that changed there is found, and the file fetched anew.
export async function kept() {
  const url = new URL("/tiny.tin", location).href;
  const found = [];
  await forget(url); // the cases have opened it
  const once = async (options) => {
    const model = await open(url, options);
    model.close();
    found.push(model.kept);
    return model.digest;
  };
  const sha256 = await once();
  await once({ sha256 });
  const store = await caches.open("tinsmith");
  const stored = await store.match(url);
  const bytes = new Uint8Array(await stored.arrayBuffer());
  bytes[bytes.length >> 1] ^= 1;
  await store.put(url, new Response(bytes, { headers: stored.headers }));
  await once({ sha256 });
  const other = sha256.replace(/./, (digit) => (digit === "0" ? "1" : "0"));
  await open(url, { sha256: other }).catch((error) => found.push(error.message));
  found.push(await forget(url));
  return found;
}

// The codes of what is refused.
export async function wrong() {
  const model = await open("/tiny.tin");
  const session = await model.session({ context: 128 });
  const attempts = [
    () => open(new Uint8Array(100)),
    () => session.say("user", "a\0b"),
    () => session.adapter("zebra"),
    () => session.choose(["one\ntwo"]),
    () => session.restore(new Uint8Array(100)),
  ];
  const found = [];
  for (const attempt of attempts)
    await attempt().then(
      () => found.push("it was not refused"),
      (error) => found.push(error.code),
    );
  model.close();
  return found;
}
