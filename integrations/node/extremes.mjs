// Numbers and arrays that scripts can get wrong, at each argument. Of node's package, and of the browser's host.mjs:
// extremes(open, begin, digest), where open(file) gives a Model, and the others what their names say of a session.
import assert from "node:assert/strict";

const LARGE = [2 ** 53, 2 ** 63, 1e300, Number.MAX_VALUE, Infinity];
const LATE = [-1, -0.25, -(2 ** 63), -1e300, -Infinity];
const SMALL = [5e-324, 1e-9, 0.25, 0.5, 1];
const ODD = [2 ** 31, 2 ** 32, 2 ** 32 + 1, -(2 ** 32), 2 ** 53, 0.5, NaN, Infinity, 1e300];

// A Uint8Array that says to have more than it has.
class Longer extends Uint8Array {
  get length() {
    return 4096 * 4096 * 3;
  }
  get byteLength() {
    return this.length;
  }
}

const refused = (attempt) => assert.throws(attempt, (error) => error instanceof Error && !/\n/.test(error.message));

export async function extremes(open, begin, digestOf) {
  const tiny = await open("tiny.tin");
  const session = tiny.session({ context: 256 });
  session.constrained(false);
  // Steps of a budget to the end: how many, and the digest.
  const stepped = (budget) => {
    session.forget(0);
    begin(session, "hello", 24);
    let steps = 1;
    for (; session.step(budget).event !== "done"; steps++) assert.ok(steps < 1e6);
    return [steps, digestOf(session)];
  };
  const [, digest] = stepped(0);
  for (const budget of LARGE) assert.deepEqual(stepped(budget), [1, digest], String(budget));
  for (const budget of [...LATE, ...SMALL]) {
    const [steps, same] = stepped(budget);
    assert.ok(steps > 24 && same === digest, `${budget}: ${steps} steps`);
  }
  for (const budget of [NaN, "5", null, {}]) refused(() => session.step(budget));

  const messages = () => (typeof session.messages === "function" ? session.messages() : session.messages);
  const before = messages();
  assert.equal(before.length, 2);
  for (const odd of ODD) {
    refused(() => session.forget(odd));
    refused(() => begin(session, "again", odd));
    refused(() => tiny.session({ context: odd }));
    refused(() => tiny.session({ adapters: odd }));
    refused(() => session.sampling({ topP: odd === 0.5 ? -1 : odd }));
    refused(() => session.adapter("a", odd === 0.5 ? 65536 : odd));
  }
  for (const odd of [2 ** 63, -(2 ** 63) - 2048, 2 ** 64, 1e300, 0.5, NaN]) {
    refused(() => session.sampling({ seed: odd }));
    refused(() => tiny.session({ mostBytes: odd }));
  }
  for (const odd of [NaN, Infinity, -1, 1e300]) refused(() => session.sampling({ temperature: odd }));
  for (const odd of [NaN, Infinity, 0, -1, 1e-60]) refused(() => session.sampling({ repetition: odd }));
  session.adapter("a", 1e-60); // which is 0 in float32
  assert.deepEqual(messages(), before);
  for (const options of [[], [""], ["yes", ""], ["", "yes"], ["yes", "", "no"], ["yes", "yes"], ["a\nb"]])
    await assert.rejects(async () => session.choose(options), JSON.stringify(options));
  assert.deepEqual(stepped(0)[1], digest);

  const vision = await open("vision.tin");
  const shown = vision.session({ context: 256 });
  // The browser's take those of an ImageData.
  const pixels = (data, width, height, channels) =>
    shown.pixels ? shown.pixels(data, width, height, channels) : shown.image({ data, width, height });
  const saved = shown.save();
  for (const bytes of [new Longer(16), new Longer(0), new Longer(saved.buffer, 0, 16)]) {
    refused(() => shown.restore(bytes));
    refused(() => shown.image(bytes));
    refused(() => pixels(bytes, 4096, 4096, 3));
  }
  refused(() => pixels(new Uint8Array(16), 2 ** 32 + 2, 2, 4));
  if (shown.pixels) refused(() => pixels(new Uint8Array(12), 2, 2, 2 ** 32 + 3));
  const gone = new Uint8Array(64);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  refused(() => shown.restore(gone));
  shown.restore(new Longer(saved)); // of whose bytes there are as many as there are
  pixels(new Uint8Array(16), 2, 2, 4);
  if (shown.pixels) pixels(new Longer(16), 2, 2, 4);
  tiny.close();
  vision.close();
}
