// What a page can be asked by the tests. Each gives a list of what is wrong.
window.checks = (() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const isShown = (element) =>
    element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen, .skip");
  const describe = (element) =>
    `${element.tagName.toLowerCase()}.${element.className?.baseVal ?? element.className}: ${element.textContent.trim().slice(0, 40)}`;

  const channels = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const ownText = (element) =>
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());

  return {
    // Text that is too faint: WCAG 2, level AA.
    contrast: () => {
      const faint = [];
      for (const element of all("main *, .bar *")) {
        if (!isShown(element) || !ownText(element) || element.closest(".plot, script, style")) continue;
        const style = getComputedStyle(element);
        const [light, dark] = [luminance(channels(style.color)), luminance(ground(element))].sort((a, b) => b - a);
        const size = parseFloat(style.fontSize);
        const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < (isLarge ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${describe(element)}`);
      }
      return faint;
    },
    // Controls, plots and tables that a screen reader could not name.
    nameless: () => {
      const label = (element) =>
        element.getAttribute("aria-label") ||
        (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim() ||
        [...(element.labels ?? [])].map((it) => it.textContent).join(" ").trim() ||
        element.closest("label")?.textContent.trim() ||
        element.querySelector(":scope > title, :scope > * > title")?.textContent.trim() ||
        element.textContent.trim();
      const named = all("a, button, select, input, summary, [role=img], [role=region], [role=group], nav, form")
        .filter((element) => !label(element));
      const tables = all("table").filter((table) => !table.caption?.textContent.trim());
      return [...named, ...tables].map(describe);
    },
    // Headings that skip a level, among those that are shown.
    headings: () => {
      const wrong = [];
      let level = 0;
      for (const heading of all("h1, h2, h3, h4").filter(isShown)) {
        const own = Number(heading.tagName[1]);
        if (own > level + 1) wrong.push(describe(heading));
        level = own;
      }
      return wrong;
    },
    // What makes the page wider than the window, outside of what scrolls by itself.
    wide: () => {
      const width = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth <= width) return [];
      return all("main *")
        .filter((it) => it.checkVisibility() && !it.closest(".plot, .bar") &&
          (!it.closest(".scroll") || getComputedStyle(it).position === "absolute") && it.getBoundingClientRect().right > width + 1)
        .map(describe)
        .concat(`the page is ${document.documentElement.scrollWidth} wide`);
    },
    // What has to be scrolled sideways to be read; programs may.
    clipped: () =>
      all(".scroll:not(.code)")
        .filter((it) => it.checkVisibility() && it.scrollWidth > it.clientWidth + 1)
        .map((it) => `${it.scrollWidth} of ${it.clientWidth}: ${it.getAttribute("aria-label") ?? it.querySelector("table")?.id}`),
  };
})();
