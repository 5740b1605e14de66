// Before the first paint: the theme the viewer chose, else the system's.
const chosen = localStorage.getItem("wayfarer-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
