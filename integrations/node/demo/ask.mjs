// node ask.mjs FILE.tin TEXT: the answer as it comes; Ctrl-C drops it.
import { Model } from "../index.js";

const [path, text] = process.argv.slice(2);
if (text === undefined) {
  console.error("usage: node ask.mjs FILE.tin TEXT");
  process.exit(2);
}
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());
try {
  const model = await Model.open(path);
  const session = model.session({ context: 1024 });
  for await (const piece of session.ask(text, { maxTokens: 128, signal: stop.signal })) process.stdout.write(piece);
  const { tokens, passes, digest } = session.answer;
  console.log(`\n${tokens} tokens by ${passes} passes; digest ${digest.toString(16).padStart(16, "0")}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
