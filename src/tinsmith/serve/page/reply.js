// An answer during and after its stream: text or tokens, calls, and a line of figures.

const ENDS = {
  length: "stopped at the token limit", content_filter: "withheld", stopped: "stopped by you",
};

class Reply {
  // asked: the request's body.
  constructor(box, asked) {
    this.asked = asked;
    this.began = performance.now();
    this.content = "";
    this.thoughts = "";
    this.calls = [];
    this.figures = {};
    this.body = make("div", { class: "reply" });
    this.foot = make("p", { class: "foot" }, make("span", { class: "waiting" }, "Waiting…"));
    box.append(this.body, this.foot);
  }

  add(chunk) {
    if (chunk.usage) this.figures.usage = chunk.usage;
    this.figures.receipt = chunk.tinsmith?.receipt ?? this.figures.receipt ?? chunk.headers?.get("x-tinsmith-receipt");
    const choice = chunk.choices?.[0];
    if (!choice) return;
    if (choice.finish_reason) this.finish = choice.finish_reason;
    this.figures.receipt = choice.tinsmith?.receipt ?? this.figures.receipt;
    const { content, reasoning_content: thought, tool_calls: calls, refusal } = choice.delta ?? {};
    if (refusal) this.body.append(make("p", { class: "refusal" }, refusal));
    const tokens = choice.tinsmith?.choices ?? [];
    if (!content && !thought && !calls && !tokens.length) return;
    this.last = chunk.came;
    this.first ??= this.last;
    this.content += content ?? "";
    this.thoughts += thought ?? "";
    for (const call of calls ?? []) this.call(call);
    if (tokens.length) {
      this.tokens ??= new Tokens(this.body, (tokens) => json("tinsmith/masked", { body: { chat: this.asked, tokens } }));
      for (const one of tokens) this.tokens.add(one);
    } else if (!this.tokens) this.write(content, thought);
  }

  // Without tokens: collapsible thoughts, and the text.
  write(content, thought) {
    if (thought) {
      if (!this.thinking) {
        this.thinking = make("p");
        this.body.append(make("details", { class: "thoughts" }, make("summary", {}, "Thoughts"), this.thinking));
      }
      this.thinking.append(thought);
    }
    if (content) {
      this.text ??= this.body.appendChild(make("div", { class: "text" }));
      this.text.append(content);
    }
  }

  call({ index = this.calls.length, id, function: given = {} }) {
    const call = (this.calls[index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
    call.id ||= id ?? "";
    call.function.name += given.name ?? "";
    call.function.arguments += given.arguments ?? "";
  }

  // The message for the conversation; null for no answer.
  message() {
    if (!this.content && !this.calls.length) return null;
    return { role: "assistant", content: this.content || null, ...(this.calls.length && { tool_calls: this.calls }) };
  }

  end(finish) {
    this.finish = finish ?? this.finish;
    const parts = this.parts();
    this.foot.replaceChildren(...parts.flatMap((one, k) => (k ? [" · ", one] : [one])));
    if (this.figures.receipt) this.foot.append(" · ", receipt(this.figures.receipt));
    if (this.message()?.content) this.foot.append(button("Copy", (event) => copy(this.content, event.target), { class: "quiet" }));
    for (const call of this.calls) this.body.append(card(call));
    if (this.finish !== "tool_calls") this.calls = []; // drops truncated calls
  }

  parts() {
    const { usage } = this.figures;
    const seen = this.tokens?.summary();
    const total = usage?.completion_tokens ?? seen?.total;
    const parts = [];
    if (total !== undefined) parts.push(`${number(total)} ${total === 1 ? "token" : "tokens"}`);
    if (seen?.forced) parts.push(make("span", { class: "forced" }, `${number(seen.forced)} forced`));
    if (seen?.bound) parts.push(`${number(seen.bound)} chosen under the constraint`);
    if (total > 1 && this.last > this.first) parts.push(`${number((1000 * (total - 1)) / (this.last - this.first))} tokens/s`);
    if (this.first) parts.push(`first after ${number(this.first - this.began)} ms`);
    const cached = usage?.prompt_tokens_details?.cached_tokens;
    if (usage) parts.push(`prompt of ${number(usage.prompt_tokens)}${cached ? `, ${number(cached)} from the cache` : ""}`);
    if (ENDS[this.finish]) parts.push(ENDS[this.finish]);
    return parts.length ? parts : ["an empty answer"];
  }

  fail(message) {
    this.end("failed");
    if (!this.content) this.foot.replaceChildren();
    this.body.append(make("p", { class: "failure", role: "alert" }, message));
  }

  // A field for each call's result. send: gets the messages with the results.
  askResults(send) {
    const fields = this.calls.map((call, k) => {
      const field = make("input", { type: "text", autocomplete: "off" });
      this.body.querySelectorAll(".call")[k].append(make("label", {}, `Result of ${call.function.name}`, field));
      return field;
    });
    const sent = button(this.calls.length > 1 ? "Send the results" : "Send the result", () => {
      sent.remove();
      for (const field of fields) field.readOnly = true;
      send(this.calls.map((call, k) => ({ role: "tool", tool_call_id: call.id, content: fields[k].value })));
    });
    this.body.append(sent);
  }

  spoken(model) {
    const calls = this.calls.map(({ function: { name, arguments: given } }) => `Calls ${name} with ${given}.`);
    return `${model}: ${[this.content, ...calls].join(" ").slice(0, 600) || "no answer"}`;
  }
}

function card({ function: { name, arguments: given } }) {
  const read = readJson(given);
  const shown = read.error ? given : JSON.stringify(read.value, null, 2);
  return make("div", { class: "call" }, make("p", {}, "Calls ", make("code", {}, name)), make("pre", {}, shown));
}

function receipt(digest) {
  const made = button(`receipt ${digest.slice(0, 12)}…`, () => copy(digest, made), { class: "quiet", title: digest, "aria-label": "Copy the receipt" });
  return made;
}
