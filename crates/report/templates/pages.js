// --- Pages: the address shows them; the focus and the title follow.

const titleOfAll = document.title;
const nameComparison = (pair) => { document.title = `${pair.join(" and ")} – zillions bench`; };

// Programs are plain text until somebody looks at them.
const highlight = (page) => {
  for (const source of all("details.source", page)) {
    const pack = source.querySelector(".pack");
    if (!pack) continue;
    pack.remove();
    unpack(pack).then((html) => { source.querySelector("code:not(summary code)").innerHTML = html; });
  }
};

const arrive = () => {
  const isComparison = location.hash.split("/")[0] === "#compare";
  document.documentElement.classList.toggle("comparing", isComparison);
  const page = isComparison ? byId("compare") : byId(location.hash.slice(1))?.closest(".page");
  const heading = page?.querySelector("h1");
  document.title = heading ? `${heading.textContent} – zillions bench` : titleOfAll;
  if (!heading) return;
  if (isComparison) {
    const pair = pairInAddress();
    compare(pair);
    nameComparison(pair);
  }
  all("table.sortable", page).forEach(makeSortable);
  highlight(page);
  scrollTo({ top: 0, behavior: "instant" });
  heading.focus({ preventScroll: true });
};
addEventListener("hashchange", arrive);

// What the address remembers of the filters.
for (const field of filters.elements) {
  if (field.name && remembered.has(field.name)) field.value = remembered.get(field.name);
}
markChosen();
applyFilters();

// Going to the address itself takes the focus away; that is over when all is loaded.
if (document.readyState === "complete") arrive();
else addEventListener("load", () => setTimeout(arrive));

// --- The raw results, as a file.

byId("raw-link").addEventListener("click", (event) => {
  const blob = new Blob([bytesOf(byId("raw"))], { type: "application/gzip" });
  event.currentTarget.href = URL.createObjectURL(blob);
});
