// A photograph, grey and in color: chosen or dropped, compared by a wipe, set, and taken away.
// What colors it is given by whoever builds this: a kernel (widget.js) or a server (page.js). Placed after hints.js,
// in one module.

const MARKUP = `
<p class="choose">
  <label>Choose a photograph, or drop one here
    <input class="file" type="file" accept="image/*,.tif,.tiff,.jp2,.avif,.pgm,.ppm"></label>
  <label class="examples">or take <select></select></label>
  <small class="limits"></small>
</p>
<div class="wipe" hidden>
  <img class="before" alt="The photograph in grey">
  <img class="after" alt="The photograph in color">${PICK}
  <input type="range" min="0" max="100" step="1" value="50"
    aria-label="How much of the photograph stays grey, from the left, in percent">${MARKS}
</div>
<p class="says" role="status"></p>${TALK}
<p class="settings" hidden>
  <label class="networks">network <select></select></label>
  <label class="vividness">vividness <input type="range" min="0" max="1" step="0.01"> <output></output></label>
  <button type="button" class="download">Download in full size</button>
</p>`;

/**
 * Build the controls.
 *
 * @param {HTMLElement} el Where they go, and where a file may be dropped.
 * @param {object} from What is offered: `examples` and `networks`, lists of {name, title}, a network also with
 *   {vivid, vividness, hints}; `mostBytes` and `mostHints`; `limits`, a sentence; `keyboard`, where Ctrl+Z is heard.
 *   And four functions that promise: `preview(file, example)` {before, notes}, a Blob and lines; `color(settings)` a
 *   Blob of the preview in color; `likely({network, x, y, hints})` colors of a place, a list of
 *   {color, name, a, b, probability}; `download(settings)` {blob, name} in full size. What goes wrong is an Error
 *   whose message is a line for the visitor.
 */
export function build(el, from) {
  el.classList.add("own-picture");
  el.innerHTML = MARKUP;
  const find = (selector) => el.querySelector(selector);
  const [file, example] = [find(".file"), find(".examples select")];
  const [network, vividness] = [find(".networks select"), find(".vividness input")];
  const [wipe, compare, button] = [find(".wipe"), find(".wipe > input"), find(".download")];
  let number = 0; // of the picture: an answer about an earlier one comes too late
  let painting = null;
  let wanted = null;

  const option = ({ name, title }) => new Option(title, name);
  example.append(...from.examples.map(option));
  network.append(...from.networks.map(option));
  find(".examples").hidden = !from.examples.length;
  find(".networks").hidden = from.networks.length < 2;
  find(".limits").textContent = from.limits;

  const chosen = () => from.networks[network.selectedIndex];
  const settings = () => ({
    network: network.value,
    vividness: chosen().vivid ? Number(vividness.value) : null,
    hints: talk.written(),
  });
  const showVividness = () => (find("output").value = chosen().vivid ? Number(vividness.value).toFixed(2) : "");

  function say(text, wrong = false) {
    find(".says").textContent = text;
    find(".says").classList.toggle("wrong", wrong);
  }

  function show(image, blob) {
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    return image.decode();
  }

  /** Color the preview. One request at a time; of settings that change meanwhile the last count. */
  function paint() {
    wanted = settings();
    painting ??= (async () => {
      while (wanted) {
        const now = wanted;
        wanted = null;
        const colored = await from.color(now);
        if (!wanted) await show(find(".after"), colored);
      }
    })().finally(() => (painting = null));
    return painting;
  }

  /** Color the preview anew, and say so. */
  async function repaint(text = "") {
    const mine = number;
    if (text) say("Coloring …");
    try {
      await paint();
      if (mine === number && (text || find(".wrong"))) say(text);
    } catch (error) {
      say(error.message, true);
    }
  }

  function showWipe() {
    wipe.style.setProperty("--at", `${compare.value}%`);
  }

  const talk = converse(el, from, {
    say,
    repaint,
    uncover(x) {
      if (100 * x > compare.value) return;
      compare.value = 0;
      showWipe();
    },
    network: () => network.value,
  });

  async function take(given, title, name = null) {
    const mine = ++number;
    say(`Coloring ${title} …`);
    try {
      if (given && given.size > from.mostBytes) throw new Error(`too large. ${from.limits}`);
      const { before, notes } = await from.preview(given, name);
      if (mine !== number) return;
      talk.forget();
      await show(find(".before"), before);
      await paint();
      if (mine !== number) return;
      wipe.hidden = find(".settings").hidden = false;
      say(notes.map((note) => `${title} ${note}.`).join(" "));
    } catch (error) {
      if (mine === number) say(`${title}: ${error.message}`, true);
    }
  }

  async function download() {
    button.disabled = true;
    say("Coloring it in full size …");
    try {
      const { blob, name } = await from.download(settings());
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      say(`${name} is in your downloads.`);
    } catch (error) {
      say(error.message, true);
    } finally {
      button.disabled = false;
    }
  }

  function takeExample() {
    file.value = "";
    take(null, example.selectedOptions[0].text, example.value);
  }
  function takeFile(given) {
    example.selectedIndex = -1; // so that it can be taken again
    take(given, given.name);
  }
  file.addEventListener("change", () => file.files.length && takeFile(file.files[0]));
  example.addEventListener("change", takeExample);
  el.addEventListener("dragover", (event) => event.preventDefault());
  el.addEventListener("drop", (event) => {
    event.preventDefault();
    const [first] = event.dataTransfer.files;
    if (first) takeFile(first);
    else say("That was no file: save the photograph first, then drop it here.", true);
  });
  compare.addEventListener("input", showWipe);
  vividness.addEventListener("input", () => (showVividness(), repaint()));
  function follow() {
    vividness.disabled = !chosen().vivid;
    vividness.value = chosen().vividness;
    showVividness();
    talk.offer(chosen().hints);
  }
  network.addEventListener("change", () => (follow(), repaint()));
  button.addEventListener("click", download);
  follow();
  if (from.examples.length) takeExample();
}
