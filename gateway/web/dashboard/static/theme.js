// Applies the chosen appearance before anything is painted: loaded in <head> without `defer`.
(() => {
  const root = document.documentElement;
  root.setAttribute("data-js", "");
  let choice = "auto";
  try {
    choice = localStorage.getItem("faregate-theme") ?? "auto";
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  if (choice === "light" || choice === "dark") root.setAttribute("data-theme", choice);
})();
