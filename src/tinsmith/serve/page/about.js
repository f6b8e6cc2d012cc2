// The dialog about a file: contents, measurements, planned memory, speed.

async function showAbout(model) {
  const box = find("#about-body");
  box.replaceChildren(make("p", { role: "status" }, "Asking the server…"));
  try {
    const about = await json(`tinsmith/about?model=${encodeURIComponent(model)}`);
    box.replaceChildren(...aboutParts(about));
  } catch (error) {
    box.replaceChildren(make("p", { class: "failure", role: "alert" }, error.message));
    if (error.status === 401) askForKey(error.message);
  }
}

function aboutParts({ report, plan, speed, adapters, contents, version, ...rest }) {
  const { entries: listed, metrics: measured, adapters: told, ...manifest } = contents;
  return [
    ...(report ? [reportLink(report)] : []),
    ...part("Plan", facts(plan)),
    ...part("Speed since the server began", facts(speed)),
    ...part("Measured when it was made", measured && metrics(measured)),
    ...part("Adapters", adapters.length && facts(brought(adapters, told ?? {}))),
    ...part("The file", facts({ ...rest, tinsmith: version, ...manifest })),
    ...part("Entries", entries(listed)),
  ];
}

// Each adapter with its facts from the manifest.
const brought = (names, told) => Object.fromEntries(names.map((name) => [name, told[name] ?? "no further facts"]));

const part = (title, body) => (body ? [make("h3", {}, title), body] : []);

// A link cannot send an API key: with a key, the page fetches the report and saves it.
function reportLink(address) {
  if (!key) return make("p", {}, make("a", { href: address, target: "_blank", rel: "noopener" }, "Open the report"));
  const save = async () => {
    const link = make("a", { href: URL.createObjectURL(await (await request(address)).blob()), download: "report.html" });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return make("p", {}, button("Save the report", save));
}

const label = (name) => name.replace(/_bytes$/, "").replaceAll("_", " ");

function shown(name, value) {
  if (value === null || value === undefined) return "—";
  if (typeof value === "number") return /(^|_)bytes$/.test(name) ? size(value) : number(value, Math.abs(value) < 10 ? 3 : 1);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ") || "—";
  return String(value);
}

function facts(given) {
  const rows = Object.entries(given).flatMap(([name, value]) => {
    const nested = value !== null && typeof value === "object" && !Array.isArray(value);
    if (nested && !Object.keys(value).length) return [];
    return [make("dt", {}, label(name)), make("dd", {}, nested ? facts(value) : shown(name, value))];
  });
  return make("dl", { class: "facts" }, ...rows);
}

function table(caption, heads, rows) {
  const head = make("tr", {}, ...heads.map((one) => make("th", { scope: "col" }, one)));
  const lines = rows.map(([name, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((one) => make("td", {}, one))),
  );
  const made = make("table", {}, make("caption", { class: "unseen" }, caption), make("thead", {}, head), make("tbody", {}, ...lines));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
}

function metrics(given) {
  const rows = Object.entries(given).filter(([, one]) => one !== null && typeof one === "object");
  if (!rows.length) return Object.keys(given).length ? facts(given) : null;
  const plain = (one) => one !== null && typeof one !== "object";
  const columns = [...new Set(rows.flatMap(([, one]) => Object.keys(one).filter((name) => plain(one[name]))))];
  return table("Figures by system", ["System", ...columns.map(label)], rows.map(([name, one]) => [name, ...columns.map((c) => shown(c, one[c]))]));
}

function entries(given) {
  const rows = Object.entries(given).map(([name, one]) => [name, size(one.bytes ?? 0), make("code", { title: one.sha256 ?? "" }, (one.sha256 ?? "").slice(0, 16) || "—")]);
  return table("Entries of the file", ["Entry", "Size", "SHA-256 begins"], rows);
}
