// Pictures beside the prompt: chosen, pasted, dropped, or taken by a phone's camera.

const READ = ["image/png", "image/jpeg"]; // by the server
const LARGE = { bytes: 1 << 20, side: 2048 }; // a larger picture is drawn anew, at most so wide and high

const pictures = {
  chosen: [], // {name, url}: a data: URL
  reading: Promise.resolve(),

  start() {
    for (const name of ["choose", "take"]) {
      const input = find(`#${name}-file`);
      find(`#${name}-picture`).addEventListener("click", () => input.click());
      input.addEventListener("change", () => {
        this.add([...input.files]);
        input.value = ""; // so that the same file can be chosen again
      });
    }
    find("#prompt").addEventListener("paste", (event) => this.given(event, event.clipboardData));
    find("main").addEventListener("dragover", (event) => this.offered && event.dataTransfer.types.includes("Files") && event.preventDefault());
    find("main").addEventListener("drop", (event) => this.given(event, event.dataTransfer));
  },

  // seen: whether the chosen models have eyes.
  offer(seen) {
    this.offered = seen;
    find("#choose-picture").hidden = !seen;
    find("#take-picture").hidden = !seen || !matchMedia("(pointer: coarse)").matches;
  },

  given(event, { files }) {
    const images = [...files].filter((one) => one.type.startsWith("image/"));
    if (!this.offered || !images.length) return;
    event.preventDefault();
    this.add(images);
  },

  add(files) {
    this.reading = this.reading.then(async () => {
      for (const file of files) {
        try {
          this.chosen.push({ name: file.name, url: await urlOf(file) });
        } catch {
          say(`${file.name}: the browser can't read it as a picture`);
        }
      }
      this.show();
    });
  },

  take() {
    const taken = this.chosen;
    this.chosen = [];
    this.show();
    return taken;
  },

  show() {
    const list = find("#pictures");
    list.hidden = !this.chosen.length;
    list.replaceChildren(
      ...this.chosen.map((one) => {
        const remove = () => {
          this.chosen = this.chosen.filter((other) => other !== one);
          this.show();
          find("#prompt").focus();
        };
        return make("li", {}, thumbnail(one), button("Remove", remove, { class: "quiet", "aria-label": `Remove ${one.name}` }));
      }),
    );
  },
};

const thumbnail = ({ name, url }) => make("img", { src: url, alt: name });

// What a turn says, as a message has it.
const contentOf = ({ prompt, pictures: shown }) =>
  shown?.length ? [...shown.map(({ url }) => ({ type: "image_url", image_url: { url } })), ...(prompt ? [{ type: "text", text: prompt }] : [])] : prompt;

// The file as it is, where the server reads it and it is small.
async function urlOf(file) {
  if (READ.includes(file.type) && file.size <= LARGE.bytes) return asUrl(file);
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGE.side / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "white"; // behind what is transparent: a JPEG has no such thing
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", 0.9);
}

function asUrl(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}
