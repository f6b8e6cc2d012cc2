// An answer's tokens: forced by the constraint or chosen among how many, with their alternatives.

const UNSURE = Math.log(0.5); // below this a chosen token is marked

class Tokens {
  // ask: gets tokens, and promises the tokens that the constraint masked after them; null without a constraint.
  constructor(host, ask = null) {
    this.ask = ask;
    this.masked = []; // by position, once requested
    this.choices = [];
    this.spans = [];
    this.decoder = new TextDecoder();
    this.text = make("div", { class: "text" });
    this.walk = make("input", { type: "range", min: "1", max: "1", value: "1", class: "walk", "aria-label": "Walk through the tokens" });
    this.row = make("label", { class: "walker", hidden: "" }, make("span", { "aria-hidden": "true" }, "Tokens"), this.walk);
    host.append(this.text, this.row);
    for (const one of ["input", "focus"]) this.walk.addEventListener(one, () => this.visit(this.walk.value - 1));
    this.walk.addEventListener("blur", () => popover.close());
    this.walk.addEventListener("keydown", (event) => event.key === "Escape" && popover.close());
    this.text.addEventListener("pointerover", (event) => event.pointerType !== "touch" && this.over(event));
    this.text.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && popover.leave());
    this.text.addEventListener("click", (event) => this.over(event));
  }

  add(choice) {
    const shown = choice.bytes ? this.decoder.decode(new Uint8Array(choice.bytes), { stream: true }) : choice.text;
    const span = make("span", { class: `token ${mark(choice)}`.trim() }, shown);
    span.dataset.at = this.spans.length;
    this.choices.push(choice);
    this.spans.push(span);
    this.text.append(span);
    this.row.hidden = false;
    this.walk.max = this.spans.length;
    if (this.spans.length === 1) this.describe(0);
  }

  over(event) {
    const span = event.target.closest(".token");
    if (span) this.visit(Number(span.dataset.at), event);
  }

  // pointer: the pointer's event; undefined for the slider.
  visit(at, pointer) {
    this.walk.value = at + 1;
    this.describe(at);
    popover.open(this, at, pointer);
  }

  describe(at) {
    this.walk.setAttribute("aria-valuetext", spoken(this.choices[at], at, this.choices.length));
  }

  // Shows the masked tokens below a token's alternatives.
  async kept(at, line) {
    const { allowed, forced } = this.choices[at];
    if (!this.ask || (allowed === null && !forced)) return;
    try {
      this.masked[at] ??= this.ask(this.choices.slice(0, at).map((one) => one.token));
      const { masked } = await this.masked[at];
      const names = masked.map(({ token, logprob }) => `${quoted(token)} ${percent(logprob)}`).join(", ");
      line.textContent = names ? `Masked, among all tokens: ${names}.` : "Nothing was masked.";
      if (Number(this.walk.value) === at + 1) this.walk.setAttribute("aria-valuetext", `${spoken(this.choices[at], at, this.choices.length)} ${line.textContent}`);
    } catch (error) {
      delete this.masked[at];
      line.textContent = error.message;
    }
  }

  summary() {
    const forced = this.choices.filter((one) => one.forced).length;
    const bound = this.choices.filter((one) => !one.forced && one.allowed !== null).length;
    return { total: this.choices.length, forced, bound };
  }
}

function mark(choice) {
  if (choice.forced) return "forced";
  return choice.logprob < UNSURE ? "unsure" : "";
}

const quoted = (text) => JSON.stringify(text);

function how(choice) {
  if (choice.forced) return "Forced: the constraint left no other token, so the model did not choose.";
  if (choice.allowed === null) return "Chosen among all tokens.";
  return `Chosen among ${number(choice.allowed)} ${choice.allowed === 1 ? "token" : "tokens"} that the constraint allowed; all others were masked.`;
}

function spoken(choice, at, total) {
  const begin = `Token ${at + 1} of ${total}: ${quoted(choice.text)}. `;
  if (choice.forced) return `${begin}Forced.`;
  const others = choice.top.filter(([text]) => text !== choice.text).map(([text, p]) => `${quoted(text)} ${percent(p)}`);
  const allowed = choice.allowed === null ? "" : ` Among ${number(choice.allowed)} allowed.`;
  return `${begin}${percent(choice.logprob)}.${allowed}${others.length ? ` Else: ${others.join(", ")}.` : ""}`;
}

// The box with a token's alternatives; the slider speaks its content.
const popover = {
  box: null,
  of: null,

  open(tokens, at, pointer) {
    this.mark(null);
    clearTimeout(this.timer);
    this.box ??= this.build();
    clearTimeout(this.asking);
    const choice = tokens.choices[at];
    const line = make("p", { class: "masked" });
    this.of = tokens.spans[at];
    this.row = tokens.row;
    this.pointer = pointer;
    this.mark("current");
    this.box.replaceChildren(
      make("p", { class: "what" }, make("code", {}, quoted(choice.text)), ` ${at + 1} of ${tokens.choices.length}`),
      make("p", {}, how(choice)),
      ...(choice.forced ? [] : [alternatives(choice)]),
      line,
    );
    this.asking = setTimeout(() => tokens.kept(at, line).then(() => this.place()), 150); // ms: not for tokens that the pointer only crosses
    this.box.hidden = false;
    this.place();
  },

  build() {
    const box = make("div", { id: "alternatives", "aria-hidden": "true", hidden: "" });
    box.addEventListener("pointerenter", () => clearTimeout(this.timer));
    box.addEventListener("pointerleave", () => this.leave());
    document.body.append(box);
    addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    addEventListener("scroll", (event) => event.target !== box && this.scrolled(), true);
    addEventListener("pointerdown", (event) => !event.target.closest?.(".token, #alternatives, .walk") && this.close());
    return box;
  },

  // A scroll takes the token from under the pointer; the slider's focus itself scrolls it into view.
  scrolled() {
    if (this.box.hidden) return;
    if (this.pointer) this.close();
    else this.place();
  },

  // Below the pointer's line of a token, which may span two; below the slider if that opened it.
  place() {
    const rects = [...this.of.getClientRects()];
    const near = rects.find((one) => this.pointer && this.pointer.clientY <= one.bottom) ?? rects[0] ?? this.of.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const bottom = (this.pointer ? near : this.row.getBoundingClientRect()).bottom + 6;
    this.box.style.left = `${Math.max(8, Math.min(near.left, document.documentElement.clientWidth - width - 8))}px`;
    this.box.style.top = `${bottom + height < innerHeight ? bottom : Math.max(8, near.top - height - 6)}px`;
  },

  mark(name) {
    this.of?.classList.toggle("current", name === "current");
  },

  leave() {
    this.timer = setTimeout(() => this.close(), 200);
  },

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.asking);
    this.mark(null);
    if (this.box) this.box.hidden = true;
  },
};

function alternatives(choice) {
  const top = choice.top.some(([text]) => text === choice.text) ? choice.top : [...choice.top, [choice.text, choice.logprob]];
  const rows = top.map(([text, p]) => {
    const bar = make("span", { class: "bar" });
    bar.style.width = `${100 * Math.exp(p)}%`;
    const row = make("tr", { class: text === choice.text ? "chosen" : "" });
    row.append(make("td", {}, make("code", {}, quoted(text))), make("td", {}, percent(p)), make("td", { class: "bars" }, bar));
    return row;
  });
  return make("table", {}, make("tbody", {}, ...rows));
}
