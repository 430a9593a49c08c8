// Sorting of <table data-sortable> by the headers that have a data-key. A cell sorts by its
// data-sort, else by its text; rows that are equal keep their order. The order is kept when live
// updates bring rows anew.

const ORDER = new WeakMap();

function prepare(table) {
  if (table.dataset.sortable === "ready") return;
  table.dataset.sortable = "ready";
  for (const head of table.tHead.rows[0].cells) {
    const label = head.querySelector(".sort-label");
    if (!head.dataset.key || !label) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = label.textContent;
    label.replaceWith(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("right");
      const before = ORDER.get(table);
      const descending = before?.index === head.cellIndex ? !before.descending : numeric;
      ORDER.set(table, { index: head.cellIndex, descending });
      sort(table);
    });
  }
}

function valueOf(row, index) {
  const cell = row.cells[index];
  const value = cell?.dataset.sort ?? cell?.textContent.trim() ?? "";
  return /^-?\d+$/.test(value) ? BigInt(value) : value.toLowerCase();
}

function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === "bigint" ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function sort(table) {
  const order = ORDER.get(table);
  if (!order) return;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => ({ row, place, value: valueOf(row, order.index) }));
  rows.sort((a, b) => (order.descending ? -1 : 1) * compare(a.value, b.value) || a.place - b.place);
  rows.forEach(({ row }, place) => {
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place]);
  });
  for (const head of table.tHead.rows[0].cells) {
    if (head.cellIndex === order.index) {
      head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
    } else {
      head.removeAttribute("aria-sort");
    }
  }
}

function prepareAll() {
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    prepare(table);
    sort(table);
  }
}

prepareAll();
document.addEventListener("htmx:after:swap", prepareAll);
