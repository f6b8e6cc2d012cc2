// node digest.mjs SITE FILE.tin TEXT: host.mjs as a Worker of one's own would use it.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [site, path, text] = process.argv.slice(2);
const { Host, Model } = await import(pathToFileURL(`${site}/host.mjs`));
const model = new Model(await Host.load(), new Uint8Array(await readFile(path)));
const session = model.session({ context: 1024 });
session.begin(text, 128);
for (let over = false; !over; ) {
  const step = session.step(2000);
  over = step.over;
  process.stdout.write(step.piece);
}
const { tokens, passes, digest } = session.answer();
console.log(`\n${tokens} tokens by ${passes} passes; digest ${digest.toString(16).padStart(16, "0")}; ${model.isa}`);
model.close();
