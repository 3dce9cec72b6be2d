// Placed after picture.js, in one module: the kernel colors.

const PART = 4 * 1024 * 1024; // bytes: a Jupyter server closes the connection at a message of more than 10 MB

async function render({ model, el }) {
  let asked = 0;
  let uploads = 0;
  const open = new Map();

  model.on("msg:custom", (answer, buffers) => {
    const { resolve, reject } = open.get(answer.asked) ?? {};
    open.delete(answer.asked);
    if (answer.error) reject?.(new Error(answer.error));
    else resolve?.({ ...answer, blob: buffers[0] && new Blob([buffers[0]], { type: answer.type }) });
  });

  function ask(question, part) {
    asked += 1;
    const answer = new Promise((resolve, reject) => open.set(asked, { resolve, reject }));
    model.send({ asked, ...question }, undefined, part ? [part] : []);
    return answer;
  }

  build(el, {
    ...model.get("offered"),
    keyboard: el,
    async preview(file, example) {
      const upload = (uploads += 1); // another may begin before this one has come over
      for (let start = 0; file && start < file.size; start += PART)
        await ask({ kind: "part", upload }, await file.slice(start, start + PART).arrayBuffer());
      const question = file ? { kind: "upload", upload, name: file.name } : { kind: "example", name: example };
      const { blob, notes } = await ask(question);
      return { before: blob, notes };
    },
    color: async (settings) => (await ask({ kind: "color", ...settings })).blob,
    likely: async (place) => (await ask({ kind: "likely", ...place })).colors,
    download: (settings) => ask({ kind: "download", ...settings }),
  });
}

export default { render };
