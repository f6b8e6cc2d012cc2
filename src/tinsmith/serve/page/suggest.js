// Suggestions at the caret in a JSON schema or a list of tools. WORDS, from the constraint compiler, has its
// keywords and formats, and which keywords contain schemas.

const FIRST = ["type", "properties", "required", "additionalProperties", "items", "enum", "description"];
const TOOL_KEYS = { tool: ["type", "function"], function: ["name", "description", "parameters"] };

const STARTS = {
  schema: [
    ["an object", '{\n  "type": "object",\n  "properties": {\n    "name": {"type": "string"}\n  },\n  "required": ["name"],\n  "additionalProperties": false\n}'],
    ["one of a few texts", '{"enum": ["yes", "no"]}'],
    ["a list of objects", '{\n  "type": "array",\n  "maxItems": 5,\n  "items": {\n    "type": "object",\n    "properties": {"name": {"type": "string"}},\n    "required": ["name"],\n    "additionalProperties": false\n  }\n}'],
    ["a number in bounds", '{"type": "integer", "minimum": 0, "maximum": 100}'],
  ],
  tools: [
    ["a tool", '[\n  {\n    "type": "function",\n    "function": {\n      "name": "switch",\n      "description": "Switches the lights of a room.",\n      "parameters": {\n        "type": "object",\n        "properties": {\n          "room": {"enum": ["kitchen", "loft"]},\n          "on": {"type": "boolean"}\n        },\n        "required": ["room", "on"]\n      }\n    }\n  }\n]'],
  ],
};

// The kind of value at a path: "schema", "schemas" (a list), "names" (name → schema), "tools", "tool", "function", "data".
function placeOf(kind, path) {
  let place = kind;
  for (const key of path) {
    if (place === "schema") {
      if (WORDS.one.includes(key)) place = "schema";
      else if (WORDS.many.includes(key)) place = "schemas";
      else place = WORDS.named.includes(key) ? "names" : "data";
    } else if (place === "schemas" || place === "names") place = "schema";
    else if (place === "tools") place = "tool";
    else if (place === "tool") place = key === "function" ? "function" : "data";
    else if (place === "function") place = key === "parameters" ? "schema" : "data";
    else place = "data";
  }
  return place;
}

// {from, to, items: [{label, text, caret}]}: the range to replace, its replacements, and the caret's position in them.
function suggest(kind, text, caret, value) {
  if (text.trim() === "") {
    const items = STARTS[kind].map(([label, start]) => ({ label, text: start, caret: start.length }));
    return { from: 0, to: text.length, items };
  }
  const context = jsonContext(text, caret);
  const items = context.role === "key" ? keys(kind, context, text) : context.role === "value" ? values(kind, context, value) : [];
  const typed = context.typed.toLowerCase();
  const fits = items.filter((one) => one.label.toLowerCase().startsWith(typed) && one.label !== context.typed);
  return { from: context.from, to: context.to, items: fits };
}

function keys(kind, context, text) {
  const place = placeOf(kind, context.path.slice(0, -1));
  const known = place === "schema" ? WORDS.known : (TOOL_KEYS[place] ?? []);
  const named = /^\s*:/.test(text.slice(context.to));
  return known
    .filter((name) => !context.names.includes(name))
    .sort((a, b) => rank(a) - rank(b) || (place === "schema" ? a.localeCompare(b) : 0))
    .map((name) => keyItem(name, named));
}

const rank = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);

// named: whether a colon follows.
function keyItem(name, named) {
  const quoted = JSON.stringify(name);
  if (named) return { label: name, text: quoted, caret: quoted.length };
  const inside = valueOf(name);
  const text = `${quoted}: ${inside}`;
  return { label: name, text, caret: text.length - (/^(""|\[\]|\{\})$/.test(inside) ? 1 : 0) };
}

function valueOf(name) {
  if (name === "additionalProperties") return "false";
  if (WORDS.many.includes(name) || name === "required" || name === "enum") return "[]";
  if (WORDS.one.includes(name) || WORDS.named.includes(name) || ["function", "parameters"].includes(name)) return "{}";
  return ["type", "format", "pattern", "description", "title", "name", "$ref"].includes(name) ? '""' : "";
}

function values(kind, context, value) {
  const path = context.path;
  const listed = typeof path.at(-1) === "number";
  const name = listed ? path.at(-2) : path.at(-1);
  const around = path.slice(0, listed ? -2 : -1);
  const place = placeOf(kind, around);
  const texts = (list) => list.map((one) => ({ label: one, text: JSON.stringify(one), caret: JSON.stringify(one).length }));
  if (place === "tool" && name === "type") return texts(["function"]);
  if (place !== "schema") return [];
  if (name === "type") return texts(WORDS.types);
  if (name === "format") return texts(WORDS.formats);
  if (name === "required" && listed) return texts(Object.keys(at(value, around)?.properties ?? {}));
  if (name === "$ref") return texts(Object.keys(value?.$defs ?? {}).map((one) => `#/$defs/${one}`));
  if (name === "additionalProperties") return ["false", "true"].map((one) => ({ label: one, text: one, caret: one.length }));
  return [];
}

function at(value, path) {
  return path.reduce((one, key) => one?.[key], value);
}

const POINTER = /^.*?#((?:\/[^:]*)?): /; // the beginning of the constraint compiler's messages

// The range of a message's JSON pointer (#/properties/a/type: …); a tool's pointer omits its
// "function". null for an absent value.
function placeOfMessage(message, places) {
  const pointer = POINTER.exec(message)?.[1];
  if (pointer === undefined) return null;
  const inTool = pointer.replace(/^\/(\d+)\//, "/$1/function/");
  if (places.has(pointer)) return places.get(pointer);
  for (let tried = inTool; tried; tried = tried.slice(0, tried.lastIndexOf("/"))) {
    if (places.has(tried)) return places.get(tried);
  }
  return places.get("") ?? null;
}
