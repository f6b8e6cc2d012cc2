// A JSON reader with the position of each value and of the first error.

const MOST_DEPTH = 200;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;

// {value, places, error}. places: JSON pointer → [from, to] of the name, or of a value without one, in UTF-16 units. error: null, or
// {offset, message} of the first error; value is then undefined.
function readJson(text) {
  const places = new Map();
  let at = 0;
  const fail = (message, offset = at) => {
    throw Object.assign(new Error(message), { offset });
  };
  const skip = () => {
    while (at < text.length && " \t\n\r".includes(text[at])) at++;
  };
  const here = () => (at < text.length ? `'${String.fromCodePoint(text.codePointAt(at))}'` : "the end");
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };

  function string() {
    const found = match(STRING);
    if (found === undefined) fail(brokenString(text, at), brokenString.offset);
    at += found.length;
    return JSON.parse(found);
  }

  function members(open, close, one) {
    at++;
    skip();
    if (text[at] === close) return at++;
    for (;;) {
      one();
      skip();
      if (text[at] === close) return at++;
      if (text[at] !== ",") fail(`expected ',' or '${close}' and not ${here()}`);
      at++;
      skip();
      if (text[at] === close) fail(`a comma stands before '${close}'; remove it`, text.lastIndexOf(",", at));
    }
  }

  function object(pointer, depth) {
    const made = {};
    members("{", "}", () => {
      skip();
      if (text[at] !== '"') fail(`expected a name in double quotes and not ${here()}`);
      const from = at;
      const name = string();
      const to = at;
      if (Object.hasOwn(made, name)) fail(`the name ${JSON.stringify(name)} stands twice in one object`, from);
      skip();
      if (text[at] !== ":") fail(`expected ':' and not ${here()}`);
      at++;
      const inner = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      const inside = value(inner, depth + 1);
      places.set(inner, [from, to]);
      Object.defineProperty(made, name, { value: inside, enumerable: true, writable: true, configurable: true });
    });
    return made;
  }

  function array(pointer, depth) {
    const made = [];
    members("[", "]", () => made.push(value(`${pointer}/${made.length}`, depth + 1)));
    return made;
  }

  function value(pointer, depth) {
    if (depth > MOST_DEPTH) fail(`more than ${MOST_DEPTH} levels`);
    skip();
    const from = at;
    let made;
    if (text[at] === "{") made = object(pointer, depth);
    else if (text[at] === "[") made = array(pointer, depth);
    else if (text[at] === '"') made = string();
    else {
      const word = match(WORD);
      if (word === undefined) fail(noValue(text, at));
      at += word.length;
      made = JSON.parse(word);
    }
    places.set(pointer, [from, at]);
    return made;
  }

  try {
    const made = value("", 0);
    skip();
    if (at < text.length) fail(`the JSON has ended, and ${here()} follows`);
    return { value: made, places, error: null };
  } catch (error) {
    if (error.offset === undefined) throw error;
    return { value: undefined, places, error };
  }
}

// The error in the string at `from`; brokenString.offset is its position.
function brokenString(text, from) {
  for (let at = from + 1; at < text.length; at++) {
    brokenString.offset = at;
    if (text[at] === '"') break;
    if (text[at] < " ") {
      brokenString.offset = text[at] === "\n" ? from : at;
      return text[at] === "\n" ? "this text has no closing quote in its line" : "a control character; write it as \\u00..";
    }
    if (text[at] === "\\") {
      if (!/^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.test(text.slice(at, at + 6))) return "no escape of JSON; a backslash itself is \\\\";
      at++;
    }
  }
  brokenString.offset = from;
  return "this text has no closing quote";
}

function noValue(text, at) {
  if (at >= text.length) return "a value is missing at the end";
  if (text[at] === "'") return "texts stand in double quotes";
  if (text.startsWith("//", at) || text.startsWith("/*", at)) return "JSON has no comments";
  const word = /^[\w.+-]+/.exec(text.slice(at, at + 40))?.[0];
  return `expected a value and not '${word ?? String.fromCodePoint(text.codePointAt(at))}'`;
}

// Line and column of an offset, both from 1.
function lineAndColumn(text, offset) {
  const before = text.slice(0, offset);
  return { line: before.split("\n").length, column: offset - before.lastIndexOf("\n") };
}

// The position of the caret in an incomplete text: {path, role: "key" | "value", from, to, typed, names}.
// from, to: the range that a suggestion replaces. names: of the enclosing object, before the caret.
function jsonContext(text, caret) {
  const stack = [];
  let at = 0;
  let role = "value";
  const found = (from, to, typed) => ({
    path: stack.map((one) => (one.list ? one.index : one.name)),
    role, from, to, typed, names: stack.at(-1)?.names ?? [],
  });
  while (at < caret) {
    const c = text[at];
    const top = stack.at(-1);
    if (c === '"') {
      let end = at + 1;
      while (end < text.length && text[end] !== '"' && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
      if (end >= caret) return found(at, text[end] === '"' ? end + 1 : caret, text.slice(at + 1, caret));
      if (role === "key" && top) top.names.push((top.name = text.slice(at + 1, end)));
      at = end + 1;
      continue;
    }
    if (c === "{" || c === "[") {
      stack.push({ list: c === "[", index: 0, name: "", names: [] });
      role = c === "{" ? "key" : "value";
    } else if (c === "}" || c === "]") {
      stack.pop();
      role = "none";
    } else if (c === ":") role = "value";
    else if (c === "," && top) {
      if (top.list) top.index++;
      role = top.list ? "value" : "key";
    } else if (/[\w$]/.test(c)) {
      const word = /^[\w$-]+/.exec(text.slice(at))[0];
      if (at + word.length >= caret) return found(at, at + word.length, text.slice(at, caret));
      at += word.length;
      continue;
    }
    at++;
  }
  return found(caret, caret, "");
}
