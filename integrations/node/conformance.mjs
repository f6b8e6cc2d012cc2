// The cases of integrations/conformance, over the API that node's addon and the page's module share. open(file, options)
// opens a file of the tins' folder, read(file) gives its bytes. Gives what conformance.json has under "cases".

const FINISHES = [null, "end", "length", "context", "constraint"];
const STATUSES = { "-1": "ARGUMENT", "-2": "FORMAT", "-4": "UNSUPPORTED", "-5": "MEMORY", "-9": "SIGNATURE" };

export async function conformance(open, given, read) {
  const model = await open(given.files.plain);
  const results = {};
  for (const one of given.cases) {
    try {
      if (one.expect.status) results[one.name] = await refused(one, open, given, model, read);
      else if (one.image) results[one.name] = await with_image(one, open, read);
      else results[one.name] = await answered(one, model);
    } catch (error) {
      results[one.name] = `${error.name}: ${error.message}`;
    }
  }
  model.close();
  return results;
}

async function begun(one, model) {
  const session = await model.session({ context: 512 });
  for (const { role, content } of one.messages) await session.say(role, content);
  if (one.constrained === false) await session.constrained(false);
  if (one.sampling) await session.sampling({ ...one.sampling, topP: one.sampling.top_p });
  if (one.adapter) await session.adapter(one.adapter);
  return session;
}

async function answer(session, one, budget = 0) {
  let pieces = "";
  if (budget === 0) for await (const piece of session.ask(null, { maxTokens: one.max_tokens })) pieces += piece;
  else {
    session.begin(null, { maxTokens: one.max_tokens });
    for (let event = ""; event !== "done"; ) {
      const step = session.step(budget);
      event = step.event;
      pieces += step.piece;
    }
  }
  return shown(session, pieces);
}

function shown(session, pieces) {
  const { text, tokens, finish, digest } = session.answer;
  if (text !== pieces) throw new Error(`the pieces ${pieces} are not ${text}`);
  return { text, tokens, finish: FINISHES.indexOf(finish), digest: String(BigInt.asIntN(64, digest)) };
}

async function cancelled(session, one) {
  const stop = new AbortController();
  try {
    for await (const _ of session.ask(null, { maxTokens: one.max_tokens, signal: stop.signal })) stop.abort();
  } catch (error) {
    if (error.name === "AbortError") return;
    throw error;
  }
  throw new Error("it was not cancelled");
}

async function answered(one, model) {
  const session = await begun(one, model);
  if (one.name === "choose") {
    const chosen = await session.choose(one.options);
    return same([{ ...shown(session, one.options[chosen]), chosen }], [one.expect]);
  }
  if (one.name === "cancel") await cancelled(session, one);
  // A page's sessions step themselves.
  const found = [await answer(session, one, session.step ? one.budget_us : 0)];
  if (one.name === "adapter") {
    await session.forget(one.messages.length);
    await session.adapter(null);
    found.push(await answer(session, one));
  }
  if (one.name === "restore") {
    const saved = await session.save();
    await session.close();
    const other = await model.session({ context: 512 });
    await other.restore(saved);
    await other.say("user", one.next);
    found.push(await answer(other, one));
    await other.close();
  } else await session.close();
  return same(found, one.then ? [one.expect, one.then] : [one.expect]);
}

// By the image's file, and by its pixels; a page has these as an ImageData.
async function with_image(one, open, read) {
  const { width, height } = one;
  const rgb = await read(one.pixels);
  const ways = [
    async (session) => session.image(await read(one.image)),
    (session) => (session.pixels ? session.pixels(rgb, width, height, 3) : session.image(imageOf(rgb, width, height))),
  ];
  const model = await open(one.file);
  const found = [];
  for (const show of ways) {
    const session = await model.session({ context: 512 });
    await show(session);
    await session.say("user", one.text);
    found.push(await answer(session, one));
    await session.close();
  }
  model.close();
  return same(found, [one.expect, one.expect]);
}

function imageOf(rgb, width, height) {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let k = 0; k < width * height; k++) rgba.set(rgb.subarray(3 * k, 3 * k + 3), 4 * k);
  return new ImageData(rgba, width, height);
}

function same(found, wanted) {
  const [a, b] = [found, wanted].map((value) => JSON.stringify(value));
  return a === b ? "passed" : `${a} is not ${b}`;
}

async function refused(one, open, given, model, read) {
  const key = (field) => given.keys[one[field].replace(".pub", "")];
  const attempts = {
    missing: () => open(one.file),
    key: async () => {
      (await open(given.files.plain, { key: key("right") })).close();
      await open(given.files.plain, { key: key("wrong") });
    },
    memory: () => model.session({ mostBytes: one.most_bytes }),
    image: async () => {
      const opened = await open(one.file);
      try {
        await (await opened.session({ context: 512 })).image(await read(one.image));
      } finally {
        opened.close();
      }
    },
  };
  try {
    await attempts[one.image ? "image" : one.name]();
  } catch (error) {
    const says = one.name === "key" ? "" : one.expect.says; // bytes have no name
    return error.code === STATUSES[one.expect.status] && error.message.includes(says) ? "passed" : String(error);
  }
  return "it was not refused";
}
