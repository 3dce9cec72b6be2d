// Coloring as a dialogue: a place is chosen in the picture, then a color for it, and the picture is colored anew.
// Placed before picture.js, in one module.

// What lies over the picture, and what stands below it. JupyterLab leaves their keys alone.
const PICK = `
  <div class="pick" role="application" tabindex="0" data-lm-suppress-shortcuts="true"
    aria-label="The photograph: go to a place with the arrow keys, in larger steps with Shift, and press Enter"></div>`;
const MARKS = `
  <div class="marks" data-lm-suppress-shortcuts="true"><span class="cursor"></span></div>`;
const TALK = `
<div class="talk" data-lm-suppress-shortcuts="true">
  <p>Is a color wrong? Click on it in the picture and choose another: the network carries it over the object. That is
    a hint; give as many as you like. By keyboard: Tab to the picture, arrow keys to a place, Enter.</p>
  <fieldset class="palette" hidden>
    <legend>Likely here</legend>
    <div class="swatches"></div>
    <label class="own">or a color of your own <input type="color"></label>
    <button type="button" class="remove">Remove this hint</button>
  </fieldset>
  <p>
    <button type="button" class="undo" aria-keyshortcuts="Control+Z">Undo</button>
    <button type="button" class="clear">Remove all hints</button>
  </p>
</div>`;
const STEP = 0.01; // of the picture's width and height, by an arrow key; ten times as much with Shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Take hints for the picture.
 *
 * @param {HTMLElement} el Holds `PICK` and `MARKS` over the picture, and `TALK`.
 * @param {object} from As `build` has it.
 * @param {object} page Functions: `say(text, wrong)`; `repaint(text)`, which colors the picture with the hints that
 *   there are now, and then says so; `uncover(x)`, which shows the color there; `network()`, the chosen one's name.
 * @returns {object} Functions: `written()` gives the hints as Python reads them (helpers/preview.py), or null;
 *   `forget()` takes them away; `offer(whether)` shows all this, or hides it.
 */
function converse(el, from, { say, repaint, uncover, network }) {
  const find = (selector) => el.querySelector(selector);
  const [pick, marks, cursor, talk] = [".pick", ".marks", ".cursor", ".talk"].map(find);
  const [palette, swatches, own] = [".palette", ".swatches", ".own input"].map(find);
  const [remove, undo, clear] = [".remove", ".undo", ".clear"].map(find);
  let hints = []; // {x, y, given}; what is given is a color, its name, and of a likely one a and b
  let past = []; // the hints before each change
  let place = { x: 0.5, y: 0.5 };
  let question = 0; // an answer about an earlier place comes too late

  const among = (some) => some.find(({ x, y }) => x === place.x && y === place.y);
  const without = (one) => hints.filter((hint) => hint !== one);
  const share = (number) => Number(Math.min(1, Math.max(0, number)).toFixed(4));
  const where = ({ x, y }) => `${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top`;

  function written(some = hints) {
    const percent = (number) => `${(100 * number).toFixed(2)}%`;
    const line = ({ x, y, given: { a, b, color } }) => `${percent(x)},${percent(y)}=${a === undefined ? color : [a, b]}`;
    return some.map(line).join(";") || null;
  }

  function put(mark, { x, y }) {
    mark.style.left = `${100 * x}%`;
    mark.style.top = `${100 * y}%`;
  }

  function button(kind, name, color, press) {
    const made = Object.assign(document.createElement("button"), { type: "button", className: kind, title: name });
    made.setAttribute("aria-label", name);
    made.style.setProperty("--color", color);
    made.addEventListener("click", press);
    return made;
  }

  function ring(hint, i) {
    const made = button("ring", `Hint ${i + 1}, ${hint.given.name}, ${where(hint)}`, hint.given.color, () => ask(hint));
    made.addEventListener("keydown", (event) => {
      if (event.key !== "Delete" && event.key !== "Backspace") return;
      event.preventDefault();
      change(without(hint), "Hint removed. ");
    });
    put(made, hint);
    return made;
  }

  function swatch(given) {
    const percent = given.probability < 0.005 ? "<1 %" : `${Math.round(100 * given.probability)} %`;
    const made = button("swatch", `${given.name}, ${percent}`, given.color, () => give(given));
    made.textContent = percent;
    made.given = given;
    return made;
  }

  function draw() {
    const active = document.activeElement;
    const mine = marks.contains(active) || talk.contains(active);
    marks.replaceChildren(cursor, ...hints.map(ring));
    put(cursor, place);
    marks.classList.toggle("asking", !palette.hidden);
    const here = among(hints);
    for (const each of swatches.children) {
      const chosen = here && here.given.a === each.given.a && here.given.b === each.given.b;
      each.setAttribute("aria-pressed", Boolean(chosen));
    }
    [remove.disabled, undo.disabled, clear.disabled] = [!here, !past.length, !hints.length];
    // Who pressed what is gone, or can be pressed no more, goes on from the picture.
    if (mine && (!active.isConnected || active.disabled)) pick.focus({ preventScroll: true });
  }

  function redraw(text) {
    draw();
    const number = ["no hint", "1 hint"][hints.length] ?? `${hints.length} hints`;
    repaint(`${text}Colored with ${number}.`);
  }

  function change(next, text = "") {
    past.push(hints);
    hints = next;
    redraw(text);
  }

  function give(given) {
    const rest = without(among(hints));
    if (rest.length === from.mostHints) return say(`${from.mostHints} hints are the most.`, true);
    uncover(place.x);
    change([...rest, { ...place, given }]);
  }

  function close() {
    question += 1;
    palette.hidden = true;
    draw();
  }

  function goBack() {
    if (!past.length) return;
    hints = past.pop();
    redraw("Undone. ");
  }

  async function ask({ x, y }) {
    const mine = ++question;
    place = { x, y };
    draw();
    say("Which colors are likely there? …");
    try {
      const found = await from.likely({ network: network(), x, y, hints: written(without(among(hints))) });
      if (mine !== question) return;
      swatches.replaceChildren(...found.map(swatch));
      own.value = (among(hints)?.given ?? found[0] ?? own).color ?? own.value;
      palette.hidden = false;
      draw();
      (swatches.firstElementChild ?? own).focus();
      say(`Likely colors at ${where(place)}: ${found.length}.`);
    } catch (error) {
      if (mine === question) say(error.message, true);
    }
  }

  pick.addEventListener("click", (event) => {
    const { left, top, width, height } = pick.getBoundingClientRect();
    ask({ x: share((event.clientX - left) / width), y: share((event.clientY - top) / height) });
  });
  pick.addEventListener("keydown", (event) => {
    const { key, shiftKey } = event;
    if (key === "Enter" || key === " ") ask(place);
    else if (!(key in ARROWS)) return;
    else {
      const [right, down] = ARROWS[key].map((steps) => steps * STEP * (shiftKey ? 10 : 1));
      place = { x: share(place.x + right), y: share(place.y + down) };
      close();
      say(`${where(place)}.`);
    }
    event.preventDefault();
  });
  own.addEventListener("change", () => give({ color: own.value, name: own.value }));
  remove.addEventListener("click", () => change(without(among(hints)), "Hint removed. "));
  undo.addEventListener("click", goBack);
  clear.addEventListener("click", () => change([], "All hints removed. "));
  palette.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    pick.focus({ preventScroll: true });
  });
  from.keyboard.addEventListener("keydown", (event) => {
    const asked = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
    if (!asked || talk.hidden) return;
    event.preventDefault();
    goBack();
  });

  return {
    written: () => (talk.hidden ? null : written()),
    forget() {
      [hints, past, place] = [[], [], { x: 0.5, y: 0.5 }];
      close();
    },
    offer(whether) {
      find(".wipe").classList.toggle("takes-hints", whether);
      pick.hidden = marks.hidden = talk.hidden = !whether;
      close();
    },
  };
}
