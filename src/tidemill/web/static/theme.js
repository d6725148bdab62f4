// Before the page is painted: light or dark, as this browser was told, or as the system is.
(() => {
  const wanted = (() => {
    try {
      return localStorage.getItem("tidemill-theme");
    } catch {
      return null;
    }
  })();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const settle = () => {
    const chosen = document.documentElement.dataset.chosen;
    const theme = chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    globalThis.Quasar?.Dark?.set(theme === "dark");
  };
  document.documentElement.dataset.chosen = wanted ?? "system";
  settle();
  dark.addEventListener("change", settle);
  globalThis.tidemillTheme = {
    choose(theme) {
      document.documentElement.dataset.chosen = theme;
      try {
        localStorage.setItem("tidemill-theme", theme);
      } catch {
        // a browser that keeps nothing: until the page is closed
      }
      settle();
    },
    settle,
  };
})();
