// Live updates: asks #content[data-live="SECONDS"] to be fetched again, where nobody is disturbed.
// htmx morphs what comes: elements, focus and scroll positions stay. Nothing is asked for while the
// tab is hidden, a control of the content has the focus, text is selected, or the reader paused it.

const content = document.querySelector("#content[data-live]");
const button = document.querySelector("[data-live-button]");
const label = document.querySelector("[data-live-label]");
const PAUSED = "faregate-paused";

let paused = false;
let failures = 0;
try {
  paused = localStorage.getItem(PAUSED) === "1";
} catch {
  // Storage may be forbidden; then pages start live.
}

function busy() {
  if (content.querySelector("form :focus, dialog[open], details.menu[open]")) return true;
  // A table that the reader has put in another order would lose the focus when rows come anew.
  const focused = content.querySelector(":focus-visible");
  if (focused?.closest("table")?.querySelector("[aria-sort]")) return true;
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && content.contains(selection.anchorNode));
}

function refresh() {
  if (paused || document.hidden || busy() || !window.htmx) return;
  window.htmx.trigger(content, "faregate:refresh", {}, false);
}

function show() {
  button?.setAttribute("aria-pressed", String(!paused));
  if (label) label.textContent = paused ? "Paused" : failures ? "Reconnecting" : "Live";
  if (button) button.dataset.state = failures ? "stale" : "";
}

if (content) {
  const seconds = Number(content.dataset.live);
  show();
  setInterval(() => {
    // After failures ever more seldom, up to a minute.
    if (!failures || Math.random() < 1 / Math.min(2 ** failures, 12)) refresh();
  }, seconds * 1000);
  document.addEventListener("visibilitychange", refresh);
  button?.addEventListener("click", () => {
    paused = !paused;
    try {
      localStorage.setItem(PAUSED, paused ? "1" : "0");
    } catch {
      // The choice lasts as long as the page.
    }
    show();
    refresh();
  });
  document.addEventListener("htmx:before:response", (event) => {
    const answer = event.detail.ctx.response;
    // Signed out, most likely: the page itself goes where the answer came from.
    if (answer.raw.redirected || answer.status === 401) {
      event.preventDefault();
      location.reload();
    } else if (answer.status >= 400) {
      event.preventDefault();
      failures += 1;
      show();
    } else if (failures) {
      failures = 0;
      show();
    }
  });
  document.addEventListener("htmx:error", () => {
    failures += 1;
    show();
  });
}
