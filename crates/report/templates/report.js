// What the page does beyond being read: filters, sorting, drawing, moving the focus.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // --- Plots: each is drawn when it first comes into view, in its final width.

  const hiddenByLegend = new Map(); // scenario's element -> names
  const hiddenByFilter = new Set(); // names

  const isHidden = (plot, name) =>
    hiddenByFilter.has(name) || (hiddenByLegend.get(plot.closest("section"))?.has(name) ?? false);

  const draw = (plot) => {
    if (plot.dataset.state) return;
    plot.dataset.state = "drawing";
    const spec = JSON.parse(plot.parentElement.querySelector(".spec").textContent);
    for (const trace of spec.data) trace.visible = !isHidden(plot, trace.name);
    Plotly.newPlot(plot, spec.data, spec.layout, spec.config).then(() => {
      plot.dataset.state = "drawn";
    });
  };

  const redraw = (plot) => {
    if (plot.dataset.state !== "drawn") return;
    Plotly.restyle(plot, { visible: plot.data.map((trace) => !isHidden(plot, trace.name)) });
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "400px" });
  all(".plot").forEach((plot) => seen.observe(plot));
  addEventListener("beforeprint", () => all(".plot").forEach(draw));

  for (const legend of all(".legend")) {
    const section = legend.closest("section");
    hiddenByLegend.set(section, new Set());
    legend.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const names = hiddenByLegend.get(section);
      const isShown = names.delete(button.dataset.name);
      if (!isShown) names.add(button.dataset.name);
      button.setAttribute("aria-pressed", String(isShown));
      all(".plot", section).forEach(redraw);
    });
  }

  // --- Filters: rows of all tables, and lines of all plots.

  const filters = byId("filters");
  const applyFilters = () => {
    const wanted = Object.entries(Object.fromEntries(new FormData(filters))).filter(([, value]) => value);
    const fits = (row) => wanted.every(([key, value]) => row.dataset[key] === value);
    for (const row of all("tr.filtered")) row.hidden = !fits(row);
    hiddenByFilter.clear();
    const rows = all("#glance-table tbody tr");
    for (const row of rows) if (row.hidden) hiddenByFilter.add(row.cells[0].dataset.key);
    for (const button of all(".legend button")) button.hidden = hiddenByFilter.has(button.dataset.name);
    all(".plot").forEach(redraw);
    const shown = rows.filter((row) => !row.hidden).length;
    byId("filter-count").textContent = wanted.length ? `${shown} of ${rows.length} shown` : "";
  };
  filters.addEventListener("change", applyFilters);
  filters.addEventListener("submit", (event) => event.preventDefault());
  // The fields have their old values until the event is over.
  filters.addEventListener("reset", () => queueMicrotask(() => setTimeout(applyFilters)));

  // --- Sorting: a click on a head sorts, the next one turns it round. What has no key is last.

  const keyOf = (row, column) => row.cells[column]?.dataset.key ?? "";
  const sortBy = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const keys = new Map(rows.map((row) => [row, keyOf(row, column)]));
    const isNumeric = [...keys.values()].every((key) => key === "" || !Number.isNaN(Number(key)));
    const compare = (a, b) => isNumeric ? Number(a) - Number(b) : a.localeCompare(b);
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return direction * compare(x, y);
    });
    // Tiers stand together only in their own order.
    table.classList.toggle("ranked", table.id.startsWith("table-") && column === 0 && direction === 1);
    body.append(...rows);
  };
  for (const table of all("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
        sortBy(table, column, direction);
      });
    });
  }

  // --- Pages of implementations: the address shows them; the focus and the title follow.

  const title = document.title;
  const arrive = () => {
    const page = byId(location.hash.slice(1))?.closest(".implementation");
    const heading = page?.querySelector("h1");
    document.title = heading ? `${heading.textContent} – zillions bench` : title;
    if (!heading) return;
    scrollTo({ top: 0, behavior: "instant" });
    heading.focus({ preventScroll: true });
  };
  addEventListener("hashchange", arrive);
  // Going to the address itself takes the focus away; that is over when all is loaded.
  if (document.readyState === "complete") arrive();
  else addEventListener("load", () => setTimeout(arrive));

  // --- The raw results, as a file.

  byId("raw-link").addEventListener("click", (event) => {
    const blob = new Blob([byId("raw").textContent], { type: "application/json" });
    event.currentTarget.href = URL.createObjectURL(blob);
  });
})();
