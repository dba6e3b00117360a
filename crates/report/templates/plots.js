// --- Plots: each is drawn when it first comes into view, in its final width.

// What a script element of packed text holds.
const bytesOf = (element) => {
  const text = atob(element.textContent);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
};
const unpack = (element) =>
  new Response(new Blob([bytesOf(element)]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

// The drawing library runs when the first plot needs it; the policy of the page knows its hash.
let library = null;
const drawingLibrary = () => {
  library ??= unpack(byId("drawing-script")).then((text) => {
    document.head.append(make("script", { textContent: text }));
  });
  return library;
};

const hiddenByFilter = new Set(); // names
const isDark = matchMedia("(prefers-color-scheme: dark)");

// A trace as it looks now: in its colour, or grey and behind the others.
const dressed = (trace) => {
  const pen = penOf(trace.name);
  const standsOut = pen >= 0;
  const isMarker = trace.mode === "markers";
  const color = standsOut ? COLORS[pen] : isDark.matches ? "#5a5f66" : "#c2bfb6";
  return {
    ...trace,
    visible: !hiddenByFilter.has(trace.name),
    line: { color, width: standsOut ? 2.5 : 1 },
    marker: {
      color,
      symbol: standsOut ? SYMBOLS[pen] : "circle",
      size: isMarker ? (standsOut ? 12 : 7) : standsOut ? 7 : 2,
    },
    error_y: standsOut ? trace.error_y : undefined,
  };
};

const specs = new Map(); // plot -> what it was given
const clickable = new Set(); // plots
const draw = async (plot) => {
  if (!specs.has(plot)) specs.set(plot, JSON.parse(plot.parentElement.querySelector(".spec").textContent));
  const { data, layout, config } = specs.get(plot);
  await drawingLibrary();
  const traces = data.map(dressed).sort((a, b) => (penOf(a.name) >= 0) - (penOf(b.name) >= 0));
  await Plotly.react(plot, traces, layout, config);
  if (!clickable.has(plot)) {
    clickable.add(plot);
    plot.on("plotly_click", ({ points: [point] }) => choose(point.data.name, penOf(point.data.name) < 0));
  }
  plot.dataset.state = "drawn";
};

const isInView = new Set();
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) {
      isInView.delete(entry.target);
      continue;
    }
    isInView.add(entry.target);
    if (entry.target.dataset.state === "drawn") continue;
    entry.target.dataset.state = "drawing";
    draw(entry.target);
  }
}, { rootMargin: "400px" });
all(".plot").forEach((plot) => seen.observe(plot));
addEventListener("beforeprint", () => all(".plot").forEach(draw));

// Those out of view are drawn again when they come back.
const redraw = () => {
  for (const plot of all(".plot[data-state]")) {
    if (isInView.has(plot)) draw(plot);
    else delete plot.dataset.state;
  }
};
isDark.addEventListener("change", redraw);

// --- Legends: what stands out, in its colour, and a field for more.

const line = (pen) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 14 14");
  svg.setAttribute("aria-hidden", "true");
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  Object.entries({ cx: 7, cy: 7, r: 6, fill: COLORS[pen] }).forEach(([key, value]) => dot.setAttribute(key, value));
  svg.append(dot);
  return svg;
};

const fillLegend = (legend) => {
  const hadFocus = legend.contains(document.activeElement);
  const buttons = chosen().filter((name) => !hiddenByFilter.has(name)).map((name) =>
    make("button", { type: "button", title: "Let it go grey", data: { name } }, line(penOf(name)), name));
  const rest = names.filter((name) => penOf(name) < 0 && !hiddenByFilter.has(name)).sort();
  const more = make("select", {}, make("option", { value: "" }, "Add …"), ...rest.map((name) => make("option", {}, name)));
  more.setAttribute("aria-label", "Let another stand out");
  more.disabled = !rest.length || chosen().length === COLORS.length;
  const grey = names.length > COLORS.length ? [make("span", { className: "soft" }, `grey: the other ${rest.length}`)] : [];
  legend.replaceChildren(...buttons, more, ...grey);
  if (hadFocus) more.focus();
};
const fillLegends = () => all(".legend").forEach(fillLegend);

for (const legend of all(".legend")) {
  legend.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button.dataset.name, false);
  });
  legend.addEventListener("change", (event) => choose(event.target.value, true));
}

// --- The same in the tables and on the map.

const markChosen = () => {
  for (const row of all("tr.filtered")) {
    const pen = penOf(row.dataset.name);
    row.classList.toggle("stands-out", pen >= 0);
    if (pen >= 0) row.style.setProperty("--pen", COLORS[pen]);
  }
  for (const dot of all(".map .dot")) {
    const pen = penOf(dot.dataset.name);
    dot.classList.toggle("stands-out", pen >= 0);
    dot.style.fill = pen >= 0 ? COLORS[pen] : "";
  }
  for (const row of all("#glance-table tbody tr")) {
    row.querySelector(".pick input").checked = penOf(row.dataset.name) >= 0;
  }
  const now = chosen();
  byId("chosen-count").textContent = `${now.length} of ${names.length} stand out.`;
  byId("compare-chosen").hidden = now.length !== 2;
  byId("compare-chosen").href = `#compare/${now.map(encodeURIComponent).join("/")}`;
};

byId("glance-table").addEventListener("change", (event) => {
  const name = event.target.closest("tr").dataset.name;
  if (!choose(name, event.target.checked)) event.target.checked = false;
});
whenChosen.push(markChosen, fillLegends, redraw);
