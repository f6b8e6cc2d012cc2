// The conversation. A turn is a prompt with an answer of each side; a side is one of the two models.

const chat = {
  turns: [],
  running: new Set(), // AbortControllers

  // The messages of one side before a turn. Where a side has no answer, the other's replaces it.
  before(turn, side) {
    const earlier = this.turns.slice(0, this.turns.indexOf(turn));
    const told = earlier.map((one) => [contentOf(one), (one.sides[side] ?? one.sides[0]).messages]).filter(([, answers]) => answers.length);
    return [...settings.system(), ...told.flatMap(([asked, answers]) => [{ role: "user", content: asked }, ...answers])];
  },

  body(turn, side, parts) {
    const { model, messages } = turn.sides[side];
    return {
      model,
      messages: [...this.before(turn, side), { role: "user", content: contentOf(turn) }, ...messages],
      stream: true,
      stream_options: { include_usage: true },
      ...parts,
    };
  },

  async ask(prompt, images, models, parts) {
    const turn = { prompt, images, sides: models.map((model) => ({ model, messages: [] })) };
    this.turns.push(turn);
    turn.answers = make("div", { class: "answers" });
    turn.verdict = make("p", { class: "same", hidden: "" });
    const heading = make("h2", { class: "prompt" }, prompt || "Without a text");
    document.querySelectorAll(".again").forEach((one) => one.remove());
    const shown = images.length ? [make("p", { class: "shown" }, ...images.map(thumbnail))] : [];
    find("#turns").append(make("section", { class: "turn", "aria-label": `Turn ${this.turns.length}` }, heading, ...shown, turn.answers, turn.verdict));
    for (const [side, { model }] of turn.sides.entries()) {
      const box = make("article", { "aria-label": `Answer of ${model}` }, make("h3", {}, model));
      turn.sides[side].box = box;
      turn.answers.append(box);
    }
    await Promise.all(models.map((_, side) => this.run(turn, side, parts)));
    this.compare(turn);
  },

  // Appends an answer of one side to its article.
  async run(turn, side, parts) {
    const stop = new AbortController();
    const asked = this.body(turn, side, parts);
    const reply = new Reply(turn.sides[side].box, asked);
    const frames = perFrame((chunk) => reply.add(chunk), (change) => this.follow(change));
    this.running.add(stop);
    this.show();
    try {
      for await (const chunk of chunks(asked, stop.signal)) {
        frames.add(chunk);
      }
      frames.end();
      reply.end();
    } catch (error) {
      frames.end();
      if (error.name === "AbortError") reply.end("stopped");
      else if (error.status === 401) askForKey(error.message);
      if (error.name !== "AbortError") reply.fail(error.message);
    } finally {
      this.running.delete(stop);
      this.show();
    }
    this.follow(() => this.finish(turn, side, parts, reply));
  },

  finish(turn, side, parts, reply) {
    const own = turn.sides[side];
    if (reply.message()) own.messages.push(reply.message());
    const again = button("Again", () => {
      own.messages = [];
      own.box.replaceChildren(find("h3", own.box));
      this.run(turn, side, trying(() => settings.parts()) ?? parts).then(() => this.compare(turn));
    }, { class: "again quiet" });
    if (turn === this.turns.at(-1)) reply.foot.append(again);
    if (reply.calls.length) {
      reply.askResults((results) => {
        again.remove();
        own.messages.push(...results);
        this.run(turn, side, parts).then(() => this.compare(turn));
      });
    }
    announce(reply.spoken(own.model));
  },

  // Whether two answers are equal, else where they first differ.
  compare(turn) {
    if (turn.sides.length < 2 || this.running.size) return;
    const [a, b] = turn.sides.map(({ messages }) => messages.map((one) => one.content ?? JSON.stringify(one.tool_calls)).join("\n"));
    turn.verdict.hidden = !a || !b;
    if (a === b) turn.verdict.textContent = "Both answers are the same.";
    else {
      let at = 0;
      while (a[at] === b[at]) at++;
      turn.verdict.textContent = `The answers differ from character ${at + 1} on.`;
    }
  },

  stop() {
    for (const one of this.running) one.abort();
  },

  clear() {
    this.stop();
    this.turns = [];
    find("#turns").replaceChildren();
    this.show();
  },

  show() {
    const busy = this.running.size > 0;
    const hadFocus = document.activeElement === find("#stop");
    find("#send").hidden = busy;
    find("#stop").hidden = !busy;
    if (hadFocus && !busy) find("#prompt").focus();
    find("#empty").hidden = this.turns.length > 0;
    find("#clear").disabled = this.turns.length === 0;
    find("#turns").setAttribute("aria-busy", String(busy));
  },

  // Scrolls with the end if the end was visible.
  follow(change) {
    const view = find("#view");
    const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 80;
    change();
    if (atEnd) view.scrollTop = view.scrollHeight;
  },
};

// Passes chunks on once per frame: each update lays out the page again.
function perFrame(act, wrap) {
  let waiting = [];
  let asked = 0;
  const flush = () => {
    cancelAnimationFrame(asked);
    asked = 0;
    const now = waiting;
    waiting = [];
    if (now.length) wrap(() => now.forEach(act));
  };
  return {
    add(one) {
      waiting.push(one);
      asked ||= requestAnimationFrame(flush);
    },
    end: flush,
  };
}

function trying(act) {
  try {
    return act();
  } catch (error) {
    say(error.message);
    return null;
  }
}
