// The settings: the form's fields as fields of a request.

const KEPT = "tinsmith"; // in this tab's session storage: the form, never a conversation or a key

const settings = {
  start(form) {
    this.form = form;
    this.editors = {
      schema: new Editor(find("#schema"), {
        kind: "schema", label: "JSON schema",
        check: (schema, signal) => this.compiles({ schema }, signal),
      }),
      tools: new Editor(find("#tools"), {
        kind: "tools", label: "Tools, as a JSON list",
        check: (tools, signal) => this.compiles({ tools }, signal),
      }),
    };
    this.restore();
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      this.chosen ||= event.target.name === "shape";
      this.changed();
    });
    form.addEventListener("changed", () => this.changed());
    this.changed();
  },

  async compiles(body, signal) {
    const model = find("#model-a").value; // determines the format of calls
    const { states, shortest } = await json("tinsmith/check", { body: { ...body, ...(model && { model }) }, signal });
    return `Compiles: ${number(states)} states, the shortest answer has ${number(shortest)} bytes.`;
  },

  get shape() {
    return this.form.elements.shape.value;
  },

  // own: whether a selected model's file has a constraint.
  offer(own) {
    find("#own").hidden = !own;
    if (!own && this.shape === "own") this.form.elements.shape.value = "any";
    else if (own && !this.chosen) this.form.elements.shape.value = "own";
    this.changed(false);
  },

  changed(kept = true) {
    find("#schema").hidden = this.shape !== "schema";
    find("#tools").hidden = this.shape !== "tools";
    if (kept) this.keep();
  },

  keep() {
    const fields = [...this.form.elements].filter((one) => one.name && (one.type !== "radio" || one.checked));
    const values = fields.map((one) => [one.name, one.type === "checkbox" ? one.checked : one.value]);
    const kept = { fields: values, schema: this.editors.schema.text, tools: this.editors.tools.text };
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(kept));
    } catch {
      // The page also works without storage.
    }
  },

  restore() {
    let kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem(KEPT));
    } catch {
      return;
    }
    if (!kept) return;
    this.chosen = true;
    for (const [name, value] of kept.fields) {
      const field = this.form.elements[name];
      if (field && typeof value === "boolean") field.checked = value;
      else if (field) field.value = value;
    }
    this.editors.schema.text = kept.schema;
    this.editors.tools.text = kept.tools;
  },

  // Whether to ignore the file's own constraint.
  get lifted() {
    return this.shape === "any" && !find("#own").hidden;
  },

  get tokens() {
    return this.form.elements.tokens.checked;
  },

  system() {
    const text = this.form.elements.system.value.trim();
    return text ? [{ role: "system", content: text }] : [];
  },

  // The request's fields. Throws for an invalid field or editor, after showing and focusing it.
  parts() {
    const invalid = [...this.form.elements].find((one) => one.willValidate && !one.checkValidity());
    if (invalid) {
      reveal(invalid);
      invalid.reportValidity();
      throw new Error(`${invalid.labels[0]?.textContent.trim() ?? invalid.name}: ${invalid.validationMessage}`);
    }
    const ours = { ...(this.tokens && { choices: true }), ...(this.lifted && { unconstrained: true }) };
    return { ...this.sampling(), ...this.answer(), ...(Object.keys(ours).length && { tinsmith: ours }) };
  },

  // Only values other than the form's defaults.
  sampling() {
    const parts = {};
    for (const field of this.form.querySelectorAll("[data-sampling]")) {
      const value = field.value.trim();
      if (value !== "" && Number(value) !== Number(field.dataset.default)) parts[field.name] = Number(value);
    }
    const stop = this.form.elements.stop.value.split("\n").filter((line) => line !== "");
    return stop.length ? { ...parts, stop } : parts;
  },

  answer() {
    if (!(this.shape in this.editors)) return {};
    const editor = this.editors[this.shape];
    let value;
    try {
      value = editor.value();
    } catch (error) {
      reveal(editor.area);
      editor.area.focus();
      throw error;
    }
    if (this.shape === "schema") {
      return { response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema: value } } };
    }
    const parallel = this.form.elements.parallel.checked;
    return { tools: value, tool_choice: this.form.elements.choice.value, ...(!parallel && { parallel_tool_calls: false }) };
  },
};

// Opens the part of the form that hides a field, or the form itself on a phone.
function reveal(field) {
  showSettings(true);
  const details = field.closest("details");
  if (details) details.open = true;
  field.scrollIntoView({ block: "center" });
}
