// --- Two implementations side by side, put together from their pages: `#compare/LEFT/RIGHT`.

const ALIKE = 1.1; // a ratio up to this is no difference
const compareForm = byId("compare-form");
const allNames = [...compareForm.elements.left.options].map((option) => option.text);

const pages = new Map(all("article.implementation").map((page) => [page.querySelector("h1").textContent, page]));

// The two names in the address, or what suits: what stands out, or the first ones.
const pairInAddress = () => {
  const asked = location.hash.split("/").slice(1).map((part) => {
    try { return decodeURIComponent(part); } catch { return ""; }
  });
  const others = [...chosen(), ...allNames];
  const left = pages.has(asked[0]) ? asked[0] : others[0];
  const right = pages.has(asked[1]) ? asked[1] : others.find((name) => name !== left) ?? left;
  return [left, right];
};

const cellText = (cell) => cell ? cell.firstChild?.textContent.trim() || "–" : "–";
const number = (cell) => cell?.dataset.key ? Number(cell.dataset.key) : NaN;

// A row of two cells and what is between them; `better` is "low", "high" or "".
const comparedRow = (title, left, right, better) => {
  const ratio = number(right) / number(left);
  const bounds = [left, right].filter(isBound).length;
  const isRatio = Number.isFinite(ratio) && ratio > 0 && number(right) < 1e300 && !bounds;
  const isApart = Math.max(ratio, 1 / ratio) > ALIKE;
  const differs = bounds > 0 || (isRatio ? isApart : cellText(left) !== cellText(right));
  // What is at least so much is above whatever is less, and nothing else is known of it.
  const isLess = (own, other) => !isBound(own) && number(own) < number(other);
  const wins = (own, other) => better && differs && (!bounds || isApart) && (better === "low" ? isLess(own, other) : isLess(other, own));
  const cell = (own, other) => {
    const isBetter = wins(own, other);
    const mark = isBetter ? [make("span", { className: "unseen" }, " better")] : [];
    return make("td", { className: isBetter ? "n wins" : "n" }, cellText(own), ...mark);
  };
  const row = make("tr", {},
    make("th", { scope: "row" }, title), cell(left, right), cell(right, left),
    make("td", { className: "n soft" }, isRatio ? `× ${ratio.toPrecision(3)}` : ""));
  row.dataset.differs = differs ? "yes" : "no";
  row.dataset.winner = wins(left, right) ? "left" : wins(right, left) ? "right" : "";
  return row;
};

const comparedTable = (caption, pair, groups) => {
  const heads = ["", ...pair, "Right to left"].map((text, at) =>
    make("th", { scope: "col", className: at ? "n" : "" }, text));
  const table = make("table", { className: "booktabs compared" },
    make("caption", {}, caption), make("thead", {}, make("tr", {}, ...heads)),
    ...groups.map((rows) => make("tbody", {}, ...rows)));
  const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region" }, table);
  scroll.setAttribute("aria-label", caption);
  return scroll;
};

// The figures of each scenario that one of the two has.
const SHOWN = ["CPU per delivery", "Peak memory", "Lost", "p50 latency", "p99 latency", "Deliveries/s"];
const figureGroups = (sides) => {
  const tables = sides.map((page) => page.querySelector("table.ranks"));
  const rowsOf = (table) => new Map(table ? [...table.tBodies[0].rows].map((row) => [row.cells[0].dataset.key, row]) : []);
  const [left, right] = tables.map(rowsOf);
  const heads = [...(tables[0] ?? tables[1])?.tHead.rows[0].cells ?? []].map((head) => head.textContent);
  return [...new Set([...left.keys(), ...right.keys()])].map((scenario) => {
    const either = left.get(scenario) ?? right.get(scenario);
    const pick = (column) => [left, right].map((rows) => rows.get(scenario)?.cells[column]);
    const link = make("a", { href: `#scenario-${scenario}` }, scenario);
    const title = make("tr", { className: "group" }, make("th", { colSpan: 4, scope: "rowgroup" }, link));
    const ranking = comparedRow(either.cells[2].querySelector("small")?.textContent ?? "", ...pick(2), either.dataset.better);
    // Its ranking figure is among the columns once more.
    const isOther = ([head, column]) => SHOWN.includes(head) && either.cells[column].dataset.key !== either.cells[2].dataset.key;
    const others = heads.map((head, column) => [head, column]).filter(isOther);
    return [title, ranking, ...others.map(([head, column]) =>
      comparedRow(head, ...pick(column), head === "Deliveries/s" ? "" : "low"))];
  });
};

const listed = (page, selector) =>
  new Map(all(`${selector} > div`, page).map((it) => [it.querySelector("dt").textContent, it.querySelector("dd")]));
const listRows = (sides, selector, better) => {
  const [left, right] = sides.map((page) => listed(page, selector));
  return [...new Set([...left.keys(), ...right.keys()])].map((key) => {
    const row = comparedRow(key, left.get(key), right.get(key), better);
    if (!better) all("td", row).forEach((cell) => cell.classList.remove("n"));
    return row;
  });
};

const sideBySide = (sides, pair, selector, none) => make("div", { className: "two" }, ...sides.map((page, at) => {
  const parts = all(selector, page).map((part) => part.cloneNode(true));
  return make("div", {}, make("h3", {}, pair[at]), ...(parts.length ? parts : [make("p", { className: "soft" }, none)]));
}));

const verdictOf = (rows, pair) => {
  const figures = rows.filter((row) => row.cells.length === 4);
  const wins = (side) => figures.filter((row) => row.dataset.winner === side).length;
  return `Of ${figures.length} figures, ${pair[0]} is better in ${wins("left")} and ${pair[1]} in ${wins("right")}, by more than ` +
    `${Math.round((ALIKE - 1) * 100)} %. A median alone does not tell whether a difference is real: the tiers of each scenario do.`;
};

const compare = (pair) => {
  const sides = pair.map((name) => pages.get(name));
  const figures = figureGroups(sides);
  const costs = listRows(sides, ".costs", "low");
  const facts = listRows(sides, ".facts", "");
  const parts = [make("p", { className: "prose" }, verdictOf([...figures.flat(), ...costs], pair))];
  const heading = (text) => parts.push(make("h2", {}, text));
  if (figures.length) {
    heading("Figures");
    parts.push(comparedTable("Medians; the better one is in bold where they differ by more than 10 %.", pair, figures));
  }
  if (costs.length) {
    heading("Costs beyond speed");
    parts.push(comparedTable("What they cost, whatever the load.", pair, [costs]));
  }
  heading("What they are");
  parts.push(comparedTable("What they say of themselves.", pair, [facts]));
  heading("Do they conform to the spec?");
  parts.push(sideBySide(sides, pair, ".verdict, .findings", "The suite was not run."));
  heading("The programs");
  parts.push(sideBySide(sides, pair, "details.source", "The run recorded no program."));
  byId("compare-title").textContent = `${pair.join(" and ")}, side by side`;
  byId("compared").replaceChildren(...parts);
  highlight(byId("compared"));
  [compareForm.elements.left.value, compareForm.elements.right.value] = pair;
  showDiffering();
};

const showDiffering = () => byId("compared").classList.toggle("differing", compareForm.elements.differing.checked);
const pairAddress = (pair) => `#compare/${pair.map(encodeURIComponent).join("/")}`;

// What is chosen here replaces the address: going back leads to where the reader came from.
const comparePair = (pair) => {
  history.replaceState(history.state, "", pairAddress(pair));
  compare(pair);
  nameComparison(pair);
};
const pairInForm = () => [compareForm.elements.left.value, compareForm.elements.right.value];
compareForm.addEventListener("change", (event) =>
  event.target.name === "differing" ? showDiffering() : comparePair(pairInForm()));
compareForm.addEventListener("submit", (event) => event.preventDefault());
byId("compare-swap").addEventListener("click", () => comparePair(pairInForm().reverse()));

for (const [name, page] of pages) {
  page.querySelector(".compare-link").href = pairAddress([name, ""]);
}
