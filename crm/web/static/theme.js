/* Before the first paint: light or dark, as the system prefers. */
document.documentElement.dataset.bsTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
