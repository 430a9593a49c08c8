// What tests measure in a page. Evaluates to functions; nothing of it is part of the dashboard.
({
  /** Controls and headings whose text does not fit and cannot be read elsewhere. */
  cutOff() {
    const names = "button, .button, .badge, .nav-link, th, td, dd, label, h1, h2, .stat-value";
    return [...document.querySelectorAll(names)]
      .filter((element) => element.checkVisibility() && !element.closest(".vh, .truncate, .clip"))
      .filter((element) => element.getBoundingClientRect().width > 1)
      .filter((element) => {
        // As far as its text reaches, and what cuts it off without a way to scroll there.
        const range = document.createRange();
        range.selectNodeContents(element);
        const right = range.getBoundingClientRect().right;
        for (let around = element; around; around = around.parentElement) {
          const how = getComputedStyle(around).overflowX;
          if (how === "auto" || how === "scroll") return false;
          if (how !== "visible") return right > around.getBoundingClientRect().right + 1;
        }
        return false;
      })
      .map((element) => element.outerHTML.slice(0, 120));
  },

  /** Pairs of controls of which one lies over the other. */
  overlapping() {
    const names = "main a, main button, main input, main select, main summary";
    const boxes = [...document.querySelectorAll(names)]
      .filter((element) => element.checkVisibility() && !element.closest(".vh"))
      .map((element) => ({ element, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.width > 1 && box.height > 1);
    const shared = (from, to, a, b) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
    const found = [];
    for (const [place, one] of boxes.entries()) {
      for (const two of boxes.slice(place + 1)) {
        if (one.element.contains(two.element) || two.element.contains(one.element)) continue;
        const wide = shared("left", "right", one.box, two.box);
        const high = shared("top", "bottom", one.box, two.box);
        if (wide > 2 && high > 2) {
          found.push([one.element, two.element].map((element) => element.outerHTML.slice(0, 90)));
        }
      }
    }
    return found;
  },

  /** The violations of axe-core's rules, and how many rules were kept. */
  async violations() {
    // Of WCAG 2.2 (AA), and not among the rules that axe keeps by default.
    const rules = { "target-size": { enabled: true } };
    const found = await axe.run(document, { resultTypes: ["violations"], rules });
    const told = (node) => `${node.failureSummary} ${node.html.slice(0, 200)}`;
    return {
      kept: found.passes.length,
      violations: found.violations.map((rule) => [rule.id, rule.nodes.slice(0, 5).map(told)]),
    };
  },

  /** What has the focus, and whether a reader sees that. */
  focused() {
    const found = document.activeElement;
    const style = getComputedStyle(found);
    const box = found.getBoundingClientRect();
    const middle = [box.x + box.width / 2, box.y + Math.min(box.height / 2, 12)];
    const on_top = document.elementFromPoint(...middle);
    return {
      name: (found.getAttribute("aria-label") ?? found.innerText ?? "").trim(),
      tag: found.tagName,
      main: Boolean(found.closest("main")),
      outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
      seen: box.width > 0 && box.height > 0 && found.checkVisibility(),
      covered: Boolean(on_top) && !found.contains(on_top) && !on_top.contains(found),
      at: [Math.round(box.x), Math.round(box.y + scrollY)],
    };
  },

  /** How many controls of the page itself are there to be reached. */
  reachable() {
    const names = ["a[href]", "button", "input:not([type=hidden])", "select", "textarea", "summary"];
    return [...document.querySelectorAll(names.map((name) => `main ${name}`).join())].filter(
      (element) => element.checkVisibility() && !element.disabled,
    ).length;
  },

  /** The colours of a chart's texts. */
  chartColours() {
    const texts = document.querySelectorAll("#spend-chart-plot svg text");
    return [...new Set([...texts].map((text) => text.getAttribute("fill")))].join();
  },
})
