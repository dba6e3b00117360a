// --- Filters: rows of all tables, and what plots draw.

const filters = byId("filters");
const known = new Map(all("#glance-table tbody tr, #unmeasured tbody tr").map((row) => {
  const { name, language, style, library, idea } = row.dataset;
  return [name, { language, style, library, text: [name, language, style, library, idea].join(" ").toLowerCase() }];
}));

const fits = (name, { q, ...wanted }) => {
  const facts = known.get(name);
  return Object.entries(wanted).every(([key, value]) => !value || facts[key] === value) &&
    q.toLowerCase().split(/\s+/).every((word) => facts.text.includes(word));
};

const applyFilters = () => {
  const wanted = Object.fromEntries(new FormData(filters));
  hiddenByFilter.clear();
  for (const name of known.keys()) if (!fits(name, wanted)) hiddenByFilter.add(name);
  for (const row of all("tr.filtered")) row.hidden = hiddenByFilter.has(row.dataset.name);
  for (const dot of all(".map .dot")) dot.classList.toggle("faded", hiddenByFilter.has(dot.dataset.name));
  const shown = names.filter((name) => !hiddenByFilter.has(name)).length;
  const isFiltered = Object.values(wanted).some((value) => value);
  byId("filter-count").textContent = isFiltered ? `${shown} of ${names.length} shown` : "";
  for (const [key, value] of Object.entries(wanted)) remember(key, [value]);
  fillLegends();
  redraw();
};
filters.addEventListener("input", applyFilters);
filters.addEventListener("submit", (event) => event.preventDefault());
// The fields have their old values until the event is over.
filters.addEventListener("reset", () => queueMicrotask(() => setTimeout(applyFilters)));

// --- Sorting: a click on a head sorts, the next one turns it round. What has no key is last, and
// before it, in either direction, what is a bound: it may be anywhere above.

const keyOf = (row, column) => row.cells[column]?.dataset.key ?? "";
const isBound = (cell) => cell?.dataset.bound === "least";
const sortBy = (table, column, direction) => {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const keys = new Map(rows.map((row) => [row, keyOf(row, column)]));
  const isNumeric = [...keys.values()].every((key) => key === "" || !Number.isNaN(Number(key)));
  const compare = (a, b) => isNumeric ? Number(a) - Number(b) : a.localeCompare(b);
  rows.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const [v, w] = [a, b].map((row) => isBound(row.cells[column]));
    if (v !== w) return v - w;
    return direction * compare(x, y);
  });
  // Tiers stand together only in their own order.
  table.classList.toggle("ranked", table.id.startsWith("table-") && column === 0 && direction === 1);
  body.append(...rows);
};

const makeSortable = (table) => {
  if (table.dataset.sorts) return;
  table.dataset.sorts = "yes";
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      sortBy(table, column, direction);
    });
  });
};
all("#results table.sortable").forEach(makeSortable);

// --- Long tables: the first rows, and what stands out, until somebody asks for all or sorts.

for (const button of all("button.whole")) {
  const table = byId(button.getAttribute("aria-controls"));
  table.classList.add("short");
  const showAll = () => {
    table.classList.remove("short");
    button.parentElement.hidden = true;
  };
  button.addEventListener("click", () => {
    showAll();
    table.closest(".scroll").focus();
  });
  table.tHead.addEventListener("click", showAll);
  filters.addEventListener("input", showAll);
}

// --- Packed tables: written into the page when they are opened.

const open = async (details) => {
  const pack = details.querySelector(".pack");
  if (!pack) return;
  pack.remove();
  const holder = make("div", { innerHTML: await unpack(pack) });
  details.append(holder);
  all("table.sortable", holder).forEach(makeSortable);
};
for (const details of all("details.packed")) {
  details.addEventListener("toggle", () => details.open && open(details));
}
