// Appearance, menus, commands to copy, and selects that submit their form.

function choose(theme) {
  const root = document.documentElement;
  if (theme === "auto") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme);
  try {
    localStorage.setItem("faregate-theme", theme);
  } catch {
    // The choice lasts as long as the page.
  }
  showChoice();
  document.dispatchEvent(new CustomEvent("faregate:theme"));
}

function showChoice() {
  const current = document.documentElement.getAttribute("data-theme") ?? "auto";
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === current));
  }
}

async function copy(button) {
  const label = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without a secure context there is no clipboard: mark the text for the reader's own copy.
    const text = button.closest(".command")?.querySelector("pre");
    if (text) getSelection().selectAllChildren(text);
    return;
  }
  button.setAttribute("aria-label", "Copied");
  button.title = "Copied";
  button.classList.add("good");
  setTimeout(() => {
    button.setAttribute("aria-label", label);
    button.title = "Copy";
    button.classList.remove("good");
  }, 1600);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest?.("[data-theme-choice], [data-copy]");
  if (target?.dataset.themeChoice) choose(target.dataset.themeChoice);
  else if (target) copy(target);
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    const chosen = event.target.closest?.("a.menu-item");
    if (chosen || !menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-auto-submit]");
  if (form) form.requestSubmit();
});

// What is not chosen is no part of an address.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

for (const button of document.querySelectorAll("[data-auto-submit-button]")) button.hidden = true;

// A confirmation in the browser's own dialog, for <form data-confirm="..."> and its buttons.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

showChoice();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new CustomEvent("faregate:theme"));
});
