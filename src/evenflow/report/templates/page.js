"use strict";
// Draws the charts, follows the reader's light or dark setting, and keeps the highlighted layer
// the same in all charts, in the selector and in the table; likewise the moment of a training that
// the slider chooses.

const { specs, themes } = JSON.parse(document.getElementById("charts").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const select = document.getElementById("focus");
const own = document.getElementById("own");
const time = document.getElementById("time");
let drawn = [];
let focused = -1;

async function draw() {
  drawn.forEach((chart) => chart.finalize());
  const options = {
    // The interpreter of expressions: the page's policy forbids code made from strings.
    ast: true,
    renderer: "svg",
    config: themes[dark.matches ? "dark" : "light"],
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  drawn = await Promise.all(
    Object.entries(specs).map(([key, spec]) =>
      vegaEmbed(document.getElementById(key), spec, { ...options, downloadFileName: key }),
    ),
  );
  for (const { view } of drawn) {
    view.addEventListener("click", (_, item) => {
      if (item?.datum?.depth !== undefined) focusOn(item.datum.depth);
    });
  }
  await apply();
  document.body.dataset.drawn = String(drawn.length);
}

function focusOn(depth) {
  focused = depth === focused ? -1 : depth;
  apply();
}

async function apply() {
  const settings = { focus: focused, own: own?.checked ?? false, time: Number(time?.value ?? 0) };
  // A very deep network has more layers than the selector offers.
  if (select) select.value = String(focused);
  if (time) document.getElementById("step").value = time.dataset.steps.split(" ")[time.value];
  for (const row of document.querySelectorAll("tr[data-depth]")) {
    row.classList.toggle("focused", Number(row.dataset.depth) === focused);
  }
  await Promise.all(
    drawn.map(({ view, spec }) => {
      for (const { name } of spec.params ?? []) {
        if (name in settings) view.signal(name, settings[name]);
      }
      return view.runAsync();
    }),
  );
}

select?.addEventListener("change", () => focusOn(Number(select.value)));
own?.addEventListener("change", apply);
time?.addEventListener("input", apply);
dark.addEventListener("change", draw);
for (const row of document.querySelectorAll("tr[data-depth]")) {
  row.addEventListener("click", () => focusOn(Number(row.dataset.depth)));
}
draw();
