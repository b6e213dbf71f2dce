"use strict";
// Runs before the page is painted, so that a remembered theme does not flash.
document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("c2f-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* storage may be forbidden: the system's theme it is */ }
