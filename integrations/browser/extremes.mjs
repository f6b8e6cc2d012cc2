// node extremes.mjs SITE TINS: numbers and arrays at host.mjs, as those that integrations/node takes.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { extremes } from "../node/extremes.mjs";

const [site, tins] = process.argv.slice(2);
const { Host, Model } = await import(pathToFileURL(`${site}/host.mjs`));
const host = await Host.load();
await extremes(
  async (file) => new Model(host, new Uint8Array(await readFile(join(tins, file)))),
  (session, text, maxTokens) => session.begin(text, maxTokens),
  (session) => session.answer().digest,
);
