// node --expose-gc check.mjs TINS OUT: the cases of integrations/conformance; that the loop is never blocked; errors; handles that are collected.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { conformance } from "./conformance.mjs";
import { extremes } from "./extremes.mjs";
import { Model, TinError } from "./index.js";

const [tins, out] = process.argv.slice(2);
const given = JSON.parse(await readFile(join(tins, "cases.json"), "utf8"));
const path = (file) => join(tins, file);
const cases = await conformance((file, options) => Model.open(path(file), options), given, (file) => readFile(path(file)));
await writeFile(out, JSON.stringify({ host: "node", version: process.version, cases }) + "\n");
console.log(cases);
assert.notEqual(Object.keys(cases).length, 0);
for (const [name, result] of Object.entries(cases)) assert.equal(result, "passed", name);

// Two sessions answer at once while timers of the loop go on.
const model = await Model.open(join(tins, given.files.plain));
let ticks = 0;
const timer = setInterval(() => ticks++, 10);
const whole = async () => {
  const session = model.session({ context: 256 });
  let text = "";
  for await (const piece of session.ask("Count to ten.", { maxTokens: 24 })) text += piece;
  assert.equal(session.answer.text, text);
  return text;
};
const [a, b] = await Promise.all([whole(), whole()]);
clearInterval(timer);
assert.equal(a, b);
assert.ok(ticks > 3, `the loop came round ${ticks} times`);

// What is wrong is an error with a code and a line.
const tiny = Model.of(await readFile(join(tins, "tiny.tin")));
assert.deepEqual(tiny.adapters, ["a"]);
assert.equal(tiny.entry("nothing"), null);
assert.match(tiny.entry("manifest.json"), /^\{/);
const session = tiny.session({ context: 128 });
for (const attempt of [
  () => session.begin("hello", { maxTokens: 0 }),
  () => session.adapter("zebra"),
  () => session.restore(new Uint8Array(100)),
  () => session.say("judge", "no"),
  () => Model.of(new Uint8Array(100)),
])
  assert.throws(attempt, (error) => error instanceof TinError && /^[A-Z]+$/.test(error.code) && !/\n/.test(error.message));
assert.throws(() => session.say("user", "a\0b"), TypeError);
assert.throws(() => session.begin("Hello", { maxTokens: 2 ** 32 + 5 }), TypeError);
assert.throws(() => session.restore("text"), TypeError);
await assert.rejects(session.choose(["one\ntwo"]), TinError);

await extremes(
  (file) => Model.open(path(file)),
  (talk, text, maxTokens) => talk.begin(text, { maxTokens }),
  (talk) => talk.answer.digest,
);

// While a piece is awaited nothing else may be asked; a session may be closed.
const pieces = session.ask("hello", { maxTokens: 64 });
const first = pieces.next();
assert.throws(() => session.messages, /await/);
session.close();
await first.catch((error) => assert.match(error.message, /closed/));
assert.throws(() => session.messages, /closed/);
tiny.close();
tiny.close();
assert.throws(() => tiny.session(), /closed/);

// Handles that nobody closed are collected.
const before = process.memoryUsage.rss();
for (let round = 0; round < 200; round++) {
  model.session({ context: 2048 });
  if (round % 20 === 0) {
    global.gc();
    await sleep(1);
  }
}
global.gc();
await sleep(10);
const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
assert.ok(grown < 400, `${grown.toFixed(0)} MiB are left of 200 sessions`);
model.close();
console.log("node: all held");
