// What the page does beyond being read. This part: which implementations stand out, and what the
// address remembers.
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);

// An element with properties and children; texts are texts, whatever is in them.
const make = (tag, properties = {}, ...children) => {
  const { data = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
};

document.documentElement.classList.remove("unscripted");

// --- The address: `?show=NAME&show=NAME&q=…`. A part of the page is its fragment, as ever.

const remembered = new URLSearchParams(location.search);
const remember = (key, values) => {
  remembered.delete(key);
  for (const value of values) if (value) remembered.append(key, value);
  const query = remembered.size ? `?${remembered}` : "";
  try {
    history.replaceState(history.state, "", location.pathname + query + location.hash);
  } catch {
    // Some browsers keep the address of a local file as it is: then it is not remembered.
  }
};

// --- What stands out: each has one of eight colours and symbols, and keeps it.

const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a07400", "#56b4e9", "#7b5bd6", "#a65628"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"];
/// By default fewer, so that there is room for what the reader is looking for.
const LEADERS_MAX = 5;

const names = all("#glance-table tbody tr").map((row) => row.dataset.name);

// The best of each scenario, then the second of each, and so on.
const leaders = () => {
  const ranked = all(".scenario table.ranked").map((table) =>
    all("tbody tr:not(.unranked)", table).map((row) => row.dataset.name));
  const found = new Set();
  for (let place = 0; place < names.length && found.size < LEADERS_MAX; place += 1) {
    for (const table of ranked) if (table[place] && found.size < LEADERS_MAX) found.add(table[place]);
  }
  return [...found];
};

const slots = Array(COLORS.length).fill(null); // names, each at the place of its colour
const penOf = (name) => slots.indexOf(name); // -1 for what does not stand out
const chosen = () => slots.filter((name) => name !== null);
const asked = remembered.getAll("show").filter((name) => names.includes(name));
const atFirst = asked.length ? asked : names.length <= COLORS.length ? names : leaders();
atFirst.slice(0, COLORS.length).forEach((name, at) => { slots[at] = name; });

const whenChosen = []; // called after each change
const announceChosen = () => whenChosen.forEach((call) => call());

// Whether it could be done: with eight chosen, one has to go first.
const choose = (name, isWanted) => {
  const at = isWanted ? slots.indexOf(null) : penOf(name);
  if (isWanted && penOf(name) >= 0) return true;
  if (at < 0) {
    byId("chosen-count").textContent = "Eight stand out already: untick one first.";
    return false;
  }
  slots[at] = isWanted ? name : null;
  remember("show", slots);
  announceChosen();
  return true;
};
