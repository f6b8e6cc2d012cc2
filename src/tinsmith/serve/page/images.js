// Images beside the prompt: chosen, pasted, dropped, or taken by a phone's camera.

const READ = ["image/png", "image/jpeg"]; // formats of the server
const LARGE = { bytes: 1 << 20, side: 2048 }; // a larger image is scaled down to this

const images = {
  chosen: [], // {name, url}, with a data: URL
  reading: Promise.resolve(),

  start() {
    for (const name of ["choose", "take"]) {
      const input = find(`#${name}-file`);
      find(`#${name}-image`).addEventListener("click", () => input.click());
      input.addEventListener("change", () => {
        this.add([...input.files]);
        input.value = ""; // lets the user choose the same file again
      });
    }
    find("#prompt").addEventListener("paste", (event) => this.given(event, event.clipboardData));
    find("main").addEventListener("dragover", (event) => this.offered && event.dataTransfer.types.includes("Files") && event.preventDefault());
    find("main").addEventListener("drop", (event) => this.given(event, event.dataTransfer));
  },

  // vision: whether the selected models accept images.
  offer(vision) {
    this.offered = vision;
    find("#choose-image").hidden = !vision;
    find("#take-image").hidden = !vision || !matchMedia("(pointer: coarse)").matches;
  },

  given(event, { files }) {
    const dropped = [...files].filter((one) => one.type.startsWith("image/"));
    if (!this.offered || !dropped.length) return;
    event.preventDefault();
    this.add(dropped);
  },

  add(files) {
    this.reading = this.reading.then(async () => {
      for (const file of files) {
        try {
          this.chosen.push({ name: file.name, url: await urlOf(file) });
        } catch {
          say(`${file.name}: the browser cannot read this image`);
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
    const list = find("#images");
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

// A message's content.
const contentOf = ({ prompt, images: shown }) =>
  shown?.length ? [...shown.map(({ url }) => ({ type: "image_url", image_url: { url } })), ...(prompt ? [{ type: "text", text: prompt }] : [])] : prompt;

// Sends a small file in a format of the server unchanged.
async function urlOf(file) {
  if (READ.includes(file.type) && file.size <= LARGE.bytes) return asUrl(file);
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGE.side / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "white"; // background of transparent images: JPEG has no alpha
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
