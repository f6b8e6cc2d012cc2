// A JSON editor: a textarea over highlighted text, with line numbers, suggestions and a verdict.

const CHECK_AFTER = 350; // ms without a key
const ROWS = [10, 24]; // least and most
let editors = 0;

class Editor {
  // kind: "schema" or "tools". check: async (value, signal) → a verdict, or throws the server's error.
  constructor(host, { kind, label, check }) {
    this.kind = kind;
    this.check = check;
    this.last = undefined; // the last text that was JSON
    this.error = null; // {message, line, column} of the current text
    const id = `editor-${++editors}`;
    this.box = make("div", { class: "editor" });
    this.area = make("textarea", {
      id, class: "code", rows: ROWS[0], spellcheck: "false", wrap: "off", autocapitalize: "off", autocomplete: "off",
      "aria-autocomplete": "list", "aria-controls": `${id}-list`, "aria-describedby": `${id}-hint ${id}-verdict`,
    });
    this.numbers = make("div", { class: "numbers code", "aria-hidden": "true" });
    this.marks = make("pre", { class: "marks code", "aria-hidden": "true" });
    this.list = make("ul", { id: `${id}-list`, class: "suggestions", role: "listbox", "aria-label": "Suggestions", hidden: "" });
    this.verdict = make("p", { id: `${id}-verdict`, class: "verdict", role: "status" });
    this.goto = button("Go to it", () => this.show(this.error.from, this.error.to), { hidden: "" });
    this.box.append(
      make("label", { for: id }, label),
      make("div", { class: "pane" }, make("div", { class: "gutter" }, this.numbers), make("div", { class: "field" }, this.marks, this.area), this.list),
      this.verdict,
      make("div", { class: "row" }, this.goto, button("Suggest", () => this.open()), button("Tidy", () => this.tidy())),
      make("p", { id: `${id}-hint`, class: "hint" }, "Ctrl+Space suggests; arrow keys and Enter take one; Escape closes."),
    );
    host.append(this.box);
    this.area.addEventListener("input", (event) => this.changed(event));
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.area.addEventListener("scroll", () => this.scrolled());
    this.area.addEventListener("blur", () => this.close());
    this.area.addEventListener("click", () => this.close());
    this.changed();
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.changed();
  }

  // The value, or throws the error that the editor shows.
  value() {
    const read = readJson(this.text);
    if (read.error) this.wrong(read.error.message, read.error.offset, read.error.offset + 1);
    if (this.error) throw new Error(this.error.shown);
    return read.value;
  }

  changed(event) {
    clearTimeout(this.timer);
    this.asked?.abort();
    this.error = null;
    const read = this.text.trim() ? readJson(this.text) : null;
    if (!read) this.say("");
    else if (read.error) this.wrong(read.error.message, read.error.offset, read.error.offset + 1);
    else {
      this.last = read.value;
      this.say("Checking…");
      this.timer = setTimeout(() => this.ask(read), CHECK_AFTER);
    }
    this.draw();
    if (event?.inputType?.startsWith("insert") && /["\w$]/.test(event.data ?? "")) this.open(true);
    else if (event) this.close();
    this.box.dispatchEvent(new CustomEvent("changed", { bubbles: true }));
  }

  async ask(read) {
    this.asked = new AbortController();
    try {
      this.say(await this.check(read.value, this.asked.signal), "good");
    } catch (error) {
      if (error.name === "AbortError") return;
      const place = placeOfMessage(error.message, read.places);
      if (place) this.wrong(error.message.replace(POINTER, ""), ...place);
      else this.say(error.message, "bad");
      this.draw();
    }
  }

  wrong(message, from, to) {
    const { line, column } = lineAndColumn(this.text, from);
    const shown = `Line ${line}, column ${column}: ${message}`;
    this.error = { message, line, column, from, to: Math.max(to, from + 1), shown };
    this.say(shown, "bad");
  }

  say(text, kind = "") {
    this.verdict.textContent = text;
    this.verdict.dataset.kind = kind;
    this.area.setAttribute("aria-invalid", String(kind === "bad"));
    this.goto.hidden = !this.error;
  }

  draw() {
    const lines = this.text.split("\n").length;
    this.area.rows = Math.min(Math.max(lines + 1, ROWS[0]), ROWS[1]);
    this.numbers.replaceChildren(
      ...Array.from({ length: lines }, (_, k) => make("div", { class: this.error?.line === k + 1 ? "bad" : "" }, String(k + 1))),
    );
    if (!this.error) this.marks.replaceChildren();
    else {
      // A value missing at the end is marked by a space.
      const { from, to } = this.error;
      this.marks.replaceChildren(this.text.slice(0, from), make("mark", {}, this.text.slice(from, to).trimEnd() || " "));
    }
    this.scrolled();
  }

  scrolled() {
    const { scrollLeft: x, scrollTop: y } = this.area;
    this.marks.style.transform = `translate(${-x}px, ${-y}px)`;
    this.numbers.style.transform = `translateY(${-y}px)`;
    this.list.hidden = true;
  }

  show(from, to) {
    this.area.focus();
    this.area.setSelectionRange(from, to);
    const line = parseFloat(getComputedStyle(this.area).lineHeight);
    this.area.scrollTop = (lineAndColumn(this.text, from).line - 3) * line;
  }

  tidy() {
    const read = readJson(this.text);
    if (!read.error) this.replace(0, this.text.length, JSON.stringify(read.value, null, 2));
    this.area.focus();
  }

  // By the browser's own editing, so that Ctrl+Z undoes it.
  replace(from, to, text) {
    this.area.focus();
    this.area.setSelectionRange(from, to);
    if (!document.execCommand("insertText", false, text)) this.area.setRangeText(text, from, to, "end");
    this.changed();
  }

  // quiet: only if a suggestion matches the typed text.
  open(quiet = false) {
    const caret = this.area.selectionStart;
    const found = suggest(this.kind, this.text, caret, this.last);
    this.found = found;
    if (!quiet) this.area.focus();
    if (!found.items.length) {
      this.close();
      if (!quiet) this.verdict.textContent ||= "Nothing to suggest here.";
      return;
    }
    this.list.replaceChildren(
      ...found.items.map((one, k) => {
        const item = make("li", { role: "option", id: `${this.list.id}-${k}` }, one.label);
        item.addEventListener("pointerdown", (event) => event.preventDefault());
        item.addEventListener("click", () => this.take(k));
        return item;
      }),
    );
    const style = getComputedStyle(this.area);
    const { line, column } = lineAndColumn(this.text, found.from);
    this.list.style.top = `${line * parseFloat(style.lineHeight) + parseFloat(style.paddingTop) - this.area.scrollTop}px`;
    this.list.style.left = `min(calc(${column + 2}ch - ${this.area.scrollLeft}px), 40%)`;
    this.list.hidden = false;
    this.pick(0);
  }

  pick(k) {
    const items = this.list.children;
    this.at = (k + items.length) % items.length;
    [...items].forEach((item, index) => item.setAttribute("aria-selected", String(index === this.at)));
    items[this.at].scrollIntoView({ block: "nearest" });
    this.area.setAttribute("aria-activedescendant", items[this.at].id);
  }

  close() {
    this.list.hidden = true;
    this.area.removeAttribute("aria-activedescendant");
  }

  take(k) {
    const { from, to, items } = this.found;
    this.close();
    this.replace(from, to, items[k].text);
    this.area.setSelectionRange(from + items[k].caret, from + items[k].caret);
    this.close();
    const before = this.text[from + items[k].caret - 1];
    if (items[k].caret < items[k].text.length && before === '"') this.open(true);
  }

  key(event) {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.open();
    } else if (!this.list.hidden) {
      const act = {
        ArrowDown: () => this.pick(this.at + 1),
        ArrowUp: () => this.pick(this.at - 1),
        Enter: () => this.take(this.at),
        Escape: () => this.close(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();
      act();
    } else if (event.key === "Enter" && !event.isComposing) {
      // A new line has the indentation of the last, plus one level after an opening bracket.
      const before = this.text.slice(0, this.area.selectionStart);
      const indent = /[^\n]*$/.exec(before)[0].match(/^ */)[0] + (/[{[]\s*$/.test(before) ? "  " : "");
      event.preventDefault();
      this.replace(this.area.selectionStart, this.area.selectionEnd, `\n${indent}`);
    }
  }
}
