import { build } from "./picture.js";

const settings = await (await fetch("settings")).json();
let file = null;
let before = null;

async function post(path, body, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null);
  let response;
  try {
    response = await fetch(`${path}?${new URLSearchParams(given)}`, { method: "POST", body });
  } catch {
    throw new Error("The app does not answer. Has it been ended?");
  }
  if (!response.ok) throw new Error(await response.text());
  return response;
}

build(document.querySelector("main > div"), {
  ...settings,
  // The visitor's own computer holds the picture; the server keeps nothing between two requests.
  async preview(given) {
    const response = await post("preview", given);
    const notes = JSON.parse(decodeURIComponent(response.headers.get("x-notes")));
    [file, before] = [given, await response.blob()];
    return { before, notes };
  },
  keyboard: document,
  color: async (asked) => (await post("color", before, asked)).blob(),
  likely: async (asked) => (await post("likely", before, asked)).json(),
  async download(asked) {
    const source = file;
    const response = await post("color", source, asked);
    const name = source.name.replace(/\.[^.]*$/, "") + "-colored" + response.headers.get("x-ending");
    return { blob: await response.blob(), name };
  },
});
