// Runs before the first paint, so that the page does not flash in the other theme.
try {
  const theme = localStorage.getItem("crossfm-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // No storage (private mode): the system's theme.
}
