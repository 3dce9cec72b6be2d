"use strict";
{
const find = (selector, within = document) => within.querySelector(selector);
const { names, colorings, game } = JSON.parse(find("#data").textContent);

/* Compare */

const figures = [...document.querySelectorAll(".photographs figure")];
const [left, right, filter] = ["#left", "#right", "#filter"].map((id) => find(id));

// Whoever listens instead of looking hears what is on each side, and how much of it.
const describe = (coloring, name) =>
  coloring.name === "truth" ? `${name}, in its true colors`
    : coloring.name === "grey" ? `${name}, in grey`
      : `${name}, with colors made up by ${coloring.name}`;

const numbers = (coloring, row) =>
  `${coloring.name}: ΔE ${coloring.delta_e[row].toFixed(1)}, PSNR ${coloring.psnr[row].toFixed(1)} dB`;

function wipe(figure) {
  const range = find("input", figure);
  find(".pair", figure).style.setProperty("--line-at", `${range.value}%`);
  range.setAttribute("aria-valuetext", `${range.value} % ${colorings[left.value].name}`);
}

function chosen() {
  const scores = colorings[right.value].delta_e;
  const ranked = [...names.keys()].sort((a, b) => scores[a] - scores[b]);
  const places = { best: 0, median: Math.floor(ranked.length / 2), worst: ranked.length - 1 };
  return filter.value === "all" ? ranked : [ranked[places[filter.value]]];
}

function compare() {
  const [one, other] = [colorings[left.value], colorings[right.value]];
  const rows = chosen();
  figures.forEach((figure, row) => {
    figure.hidden = !rows.includes(row);
    [[".under", one], [".over", other]].forEach(([place, coloring]) => {
      find(place, figure).src = coloring.pictures[row];
      find(place, figure).alt = describe(coloring, names[row]);
    });
    const range = find("input", figure);
    range.setAttribute("aria-label", `${names[row]}: the line between ${one.name} and ${other.name}`);
    const measured = [...new Set([colorings[0], one, other])].filter((coloring) => coloring.psnr);
    find(".numbers", figure).replaceChildren(...measured.map((coloring) => {
      const line = document.createElement("span");
      line.textContent = numbers(coloring, row);
      return line;
    }));
    wipe(figure);
  });
  find("#count").textContent = `${rows.length} of ${names.length} photographs.`;
}

figures.forEach((figure) => {
  const [pair, range] = [find(".pair", figure), find("input", figure)];
  const follow = (event) => {
    const { left: from, width } = pair.getBoundingClientRect();
    range.value = Math.round((100 * (event.clientX - from)) / width);
    wipe(figure);
  };
  range.addEventListener("input", () => wipe(figure));
  pair.addEventListener("pointerdown", (event) => { pair.setPointerCapture(event.pointerId); follow(event); });
  pair.addEventListener("pointermove", (event) => { if (pair.hasPointerCapture(event.pointerId)) follow(event); });
  pair.addEventListener("dragstart", (event) => event.preventDefault());
});
[left, right, filter].forEach((control) => control.addEventListener("change", compare));
compare();

/* Real or colorized? */

const SECOND = 1000;
const PAUSE = 400;
const sides = ["left", "right"];
const percent = (share) => `${Math.round(100 * share)} %`;

// mulberry32, by Tommy Ettinger, in the public domain: small, and the same everywhere.
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled(items, random) {
  const left_over = [...items];
  return items.map(() => left_over.splice(Math.floor(random() * left_over.length), 1)[0]);
}

// Networks take turns, and so do photographs: each time the pair whose two have been seen least.
function plan(tested, random) {
  const every = tested.colorings.flatMap((coloring, place) =>
    [...names.keys()].map((row) => ({ row, picture: colorings[coloring].pictures[row], network: tested.titles[place] })));
  const uses = new Map();
  const used = (thing) => uses.get(thing) ?? 0;
  const rounds = [];
  let waiting = [];
  while (rounds.length < game.rounds - game.catches) {
    if (!waiting.length) waiting = shuffled(every, random);
    const rank = ({ network, row }) => used(network) * game.rounds + used(row);
    const next = waiting.reduce((best, each) => (rank(each) < rank(best) ? each : best));
    waiting.splice(waiting.indexOf(next), 1);
    [next.network, next.row].forEach((thing) => uses.set(thing, used(thing) + 1));
    rounds.push(next);
  }
  const wrong = shuffled(Object.entries(game.wrong), random);
  for (let number = 0; number < game.catches; number += 1) {
    const [row, picture] = wrong[number % wrong.length];
    rounds.push({ row: Number(row), picture, network: game.catch });
  }
  return shuffled(rounds, random).map((round) => ({ ...round, madeUp: sides[Math.floor(random() * 2)] }));
}

// Wilson (1927): the interval of a share, of 95 %.
function interval(fooled, rounds) {
  const z = 1.959963984540054;
  const middle = fooled + z ** 2 / 2;
  const reach = z * Math.sqrt((fooled * (rounds - fooled)) / rounds + z ** 2 / 4);
  return [middle - reach, middle + reach].map((end) => Math.min(1, Math.max(0, end / (rounds + z ** 2))));
}

function crc32(text) {
  let crc = ~0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (~crc >>> 0).toString(16).padStart(8, "0");
}

function csv({ tested, play, seed, rounds, answers }) {
  const rows = rounds.map(({ row, network, madeUp }, number) => {
    const fields = [tested.id, play, seed, number + 1, row + 1, network, madeUp, answers[number]].map(String);
    return [...fields, crc32(fields.join("\n"))];
  });
  const quoted = (field) => (/[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
  return [game.columns, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

if (game) {
  const [start, stop, arena, result, said] = ["#start", "#stop", "#arena", "#result", "#said"].map((id) => find(id));
  const pictures = sides.map((side) => find(`#shown-${side}`));
  let current = null;
  let timer = 0;
  let ready = false;

  const hide = () => find(".two").classList.remove("seen");

  function end() {
    clearTimeout(timer);
    hide();
    ready = false;
    current = null;
    arena.hidden = stop.hidden = true;
    start.hidden = false;
    ["#tested", "#seed"].forEach((id) => { find(id).disabled = false; });
  }

  function begin() {
    const tested = game.sets[find("#tested").value];
    const seed = Number(find("#seed").value) >>> 0;
    find("#seed").value = seed;
    const play = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    current = { tested, seed, play, rounds: plan(tested, randomFrom(seed)), answers: [] };
    start.hidden = result.hidden = true;
    arena.hidden = stop.hidden = false;
    ["#tested", "#seed"].forEach((id) => { find(id).disabled = true; });
    find("#answer-left").focus({ preventScroll: true });
    arena.scrollIntoView({ block: "center" });
    show(current);
  }

  async function show(playing) {
    const number = playing.answers.length;
    const { row, picture, madeUp } = playing.rounds[number];
    said.textContent = `Round ${number + 1} of ${game.rounds}. Which one is made up?`;
    pictures.forEach((image, side) => {
      image.src = sides[side] === madeUp ? picture : colorings[1].pictures[row];
    });
    await Promise.all(pictures.map((image) => image.decode()));
    if (current !== playing) return;
    ready = true;
    find(".two").classList.add("seen");
    timer = setTimeout(hide, SECOND);
  }

  function answer(side) {
    if (!ready) return;
    ready = false;
    clearTimeout(timer);
    hide();
    current.answers.push(side);
    if (current.answers.length === game.rounds) finish();
    else timer = setTimeout(show, PAUSE, current);
  }

  function finish() {
    const played = current;
    end();
    const fooled = played.rounds.map(({ network, madeUp }, number) => ({ network, was: played.answers[number] !== madeUp }));
    const missed = fooled.filter(({ network, was }) => network === game.catch && was).length;
    find("#verdict").textContent = `You missed ${missed} of the ${game.catches} catch trials, so a class's result `
      + `${missed > game.mostMissed ? "leaves you out" : "counts you"}.`;
    const body = find("tbody", result);
    body.replaceChildren(...played.tested.titles.map((title) => {
      const rounds = fooled.filter(({ network }) => network === title);
      const count = rounds.filter(({ was }) => was).length;
      const shown = rounds.length
        ? [percent(count / rounds.length), interval(count, rounds.length).map(percent).join(" to ")] : ["–", "–"];
      const line = document.createElement("tr");
      [title, rounds.length, ...shown].forEach((text, place) => {
        const cell = document.createElement(place ? "td" : "th");
        if (!place) cell.scope = "row";
        cell.textContent = text;
        line.append(cell);
      });
      return line;
    }));
    const save = find("#save");
    URL.revokeObjectURL(save.href);
    save.href = URL.createObjectURL(new Blob([csv(played)], { type: "text/csv" }));
    save.download = `votes-${played.play}.csv`;
    result.hidden = false;
    result.focus();
  }

  start.addEventListener("click", begin);
  stop.addEventListener("click", () => { end(); start.focus(); });
  sides.forEach((side) => find(`#answer-${side}`).addEventListener("click", () => answer(side)));
  document.addEventListener("keydown", (event) => {
    const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
    if (side && ready && !event.repeat && !event.target.matches("input, select")) answer(side);
  });
}
}
