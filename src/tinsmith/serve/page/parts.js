// Small helpers.

const find = (selector, inside = document) => inside.querySelector(selector);

// An element with its attributes and its children (texts or elements).
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function button(text, act, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

const number = (value, digits = 0) => value.toLocaleString("en", { maximumFractionDigits: digits });

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let k = 0;
  while (bytes >= 1000 && k < units.length - 1) {
    bytes /= 1000;
    k++;
  }
  return `${number(bytes, k ? 1 : 0)} ${units[k]}`;
}

const percent = (logProbability) => {
  const share = 100 * Math.exp(logProbability);
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${number(share, 1)} %`;
};

async function copy(text, where) {
  const before = where.textContent;
  try {
    await navigator.clipboard.writeText(text);
    where.textContent = "Copied";
  } catch {
    where.textContent = "The browser does not let this page copy";
  }
  setTimeout(() => (where.textContent = before), 1500);
}

// For screen readers only.
const announce = (text) => (find("#announcer").textContent = text);
