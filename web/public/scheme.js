// Before the first paint: a page that is dark for this person does not flash white. A file, since inline scripts are forbidden.
(function () {
  var kept = null;
  try {
    kept = localStorage.getItem("provisioning-colours");
  } catch {
    kept = null;
  }
  var dark = kept === "dark" || (kept !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
