// The page: models, the prompt, panels and dialogs.

const WORDS = JSON.parse(find("#words").textContent);
const THEMES = ["auto", "light", "dark"];
let models = [];

async function loadModels() {
  try {
    models = (await json("v1/models")).data;
  } catch (error) {
    say(error.message);
    if (error.status === 401) askForKey(error.message);
    return;
  }
  for (const select of [find("#model-a"), find("#model-b"), find("#about-model")]) {
    select.replaceChildren(...models.map(({ id }) => make("option", { value: id }, id)));
  }
  if (models.length > 1) find("#model-b").value = models[1].id;
  find("#compare").disabled = false;
  say("");
  chosen();
}

const comparing = () => find("#compare").checked;
const chosenModels = () => [find("#model-a").value, ...(comparing() ? [find("#model-b").value] : [])];

function chosen() {
  const rows = chosenModels().map((id) => models.find((one) => one.id === id)).filter(Boolean);
  find("#side-b").hidden = !comparing();
  settings.offer(rows.some((one) => one.tinsmith?.constraint));
  const { context, template, can_chat: chats } = rows[0]?.tinsmith ?? {};
  const told = [context && `Its context has ${number(context)} tokens.`, chats === false && !template && "It has no chat template: it continues a text."];
  images.offer(rows.length > 0 && rows.every((one) => one.tinsmith?.vision));
  find("#fact").textContent = told.filter(Boolean).join(" ");
}

// The error above the prompt.
const say = (text) => (find("#problem").textContent = text);

async function send() {
  await images.reading;
  const prompt = find("#prompt").value;
  if ((!prompt.trim() && !images.chosen.length) || chat.running.size) return;
  if (!models.length) return loadModels();
  say("");
  const parts = trying(() => settings.parts());
  if (!parts) return;
  find("#prompt").value = "";
  grow();
  showSettings(false);
  const asked = chat.ask(prompt, images.take(), chosenModels(), parts);
  find("#view").scrollTop = find("#view").scrollHeight;
  await asked;
}

// The prompt's box is as high as its text, up to a third of the window.
function grow() {
  const area = find("#prompt");
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + 2, innerHeight / 3)}px`;
}

// On a phone the settings cover the conversation; elsewhere they are beside it.
function showSettings(open) {
  document.body.classList.toggle("set", open);
  find("#open-settings").setAttribute("aria-expanded", String(open));
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  find("#theme").textContent = `Theme: ${name}`;
  try {
    localStorage.setItem("tinsmith-theme", name);
  } catch {
    // The choice then lasts until the page is closed.
  }
}

function storedTheme() {
  try {
    const name = localStorage.getItem("tinsmith-theme");
    return THEMES.includes(name) ? name : "auto";
  } catch {
    return "auto";
  }
}

function askForKey(message) {
  find("#key-why").textContent = message;
  if (!find("#key-dialog").open) find("#key-dialog").showModal();
}

function showRequest() {
  const parts = trying(() => settings.parts());
  if (!parts) return;
  const prompt = find("#prompt").value || (images.chosen.length ? "" : "Hello");
  const turn = { prompt, images: images.chosen, sides: [{ model: find("#model-a").value, messages: [] }] };
  const body = JSON.stringify(chat.body(turn, 0, parts), null, 2).replaceAll("'", "'\\''");
  const auth = key ? ' -H "Authorization: Bearer $KEY"' : "";
  const address = new URL("v1/chat/completions", location);
  find("#request-text").textContent = `curl -N ${address}${auth} -H 'Content-Type: application/json' -d '${body}'`;
  find("#request-dialog").showModal();
}

function start() {
  settings.start(find("#settings"));
  images.start();
  theme(storedTheme());
  find("#theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % 3]));
  for (const id of ["#model-a", "#model-b", "#compare"]) find(id).addEventListener("change", chosen);
  find("#composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  find("#prompt").addEventListener("input", grow);
  find("#prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  find("#stop").addEventListener("click", () => chat.stop());
  find("#clear").addEventListener("click", () => {
    chat.clear();
    find("#prompt").focus();
  });
  find("#open-settings").addEventListener("click", () => showSettings(!document.body.classList.contains("set")));
  find("#close-settings").addEventListener("click", () => {
    showSettings(false);
    find("#open-settings").focus();
  });
  find("#show-request").addEventListener("click", showRequest);
  find("#copy-request").addEventListener("click", (event) => copy(find("#request-text").textContent, event.target));
  find("#open-about").addEventListener("click", () => {
    find("#about-model").value = find("#model-a").value;
    find("#about").showModal();
    showAbout(find("#about-model").value);
  });
  find("#about-model").addEventListener("change", (event) => showAbout(event.target.value));
  for (const one of document.querySelectorAll("dialog .close")) one.addEventListener("click", () => one.closest("dialog").close());
  find("#key-form").addEventListener("submit", () => {
    key = find("#key").value.trim();
    find("#key").value = "";
    loadModels();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || find("dialog[open]")) return;
    if (document.body.classList.contains("set")) find("#close-settings").click();
    else chat.stop();
  });
  loadModels();
}

start();
