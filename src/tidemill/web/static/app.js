// What pages of Tidemill do in the browser by themselves: times, copying, the menu, the theme, notices.
(() => {
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const plain = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const utc = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });
  const steps = [
    [60, "second", 1],
    [3600, "minute", 60],
    [86400, "hour", 3600],
    [86400 * 14, "day", 86400],
  ];

  function relative(date) {
    const seconds = (date.getTime() - Date.now()) / 1000;
    if (Math.abs(seconds) < 5) return "now";
    const found = steps.find(([below]) => Math.abs(seconds) < below);
    return found ? words.format(Math.round(seconds / found[2]), found[1]) : plain.format(date);
  }

  function look(root) {
    for (const time of root.querySelectorAll("time[data-when]")) {
      const date = new Date(time.dateTime);
      const form = { plain, exact }[time.dataset.when];
      const text = form ? form.format(date) : relative(date);
      if (time.textContent !== text) time.textContent = text;
      const title = `${full.format(date)}\n${utc.format(date)} UTC`;
      if (time.title !== title) time.title = title;
    }
    for (const button of root.querySelectorAll("[data-theme-choice]")) pressed(button);
  }

  function pressed(button) {
    const chosen = document.documentElement.dataset.chosen;
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === chosen));
  }

  async function copy(text) {
    if (navigator.clipboard && globalThis.isSecureContext) return navigator.clipboard.writeText(text);
    const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  // The lines of a log that are shown, the oldest first, with their times in UTC.
  function linesOf(log) {
    const told = (cell) => cell.querySelector("time")?.dateTime ?? cell.textContent.trim().replace(/\s+/g, " ");
    const line = (row) => [...row.cells].map(told).filter(Boolean).join("  ");
    return [...log.querySelectorAll("tbody tr")].reverse().map(line).join("\n");
  }

  function navigation(open) {
    document.documentElement.classList.toggle("nav-open", open);
    document.querySelector("[data-nav]")?.setAttribute("aria-expanded", String(open));
    if (open) document.querySelector("#navigation a")?.focus();
  }

  document.addEventListener("click", (event) => {
    const target = event.target;
    const copied = target.closest("[data-copy], [data-copy-lines]");
    if (copied) {
      copy(copied.dataset.copy ?? linesOf(copied.closest(".log-part"))).then(() => {
        copied.classList.add("copied");
        notice({ text: "Copied.", kind: "good" });
        setTimeout(() => copied.classList.remove("copied"), 1500);
      });
    }
    const theme = target.closest("[data-theme-choice]");
    if (theme) {
      globalThis.tidemillTheme.choose(theme.dataset.themeChoice);
      document.querySelectorAll("[data-theme-choice]").forEach(pressed);
    }
    if (target.closest("[data-nav]")) navigation(!document.documentElement.classList.contains("nav-open"));
    else if (document.documentElement.classList.contains("nav-open") && !target.closest("#navigation")) navigation(false);
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (document.documentElement.classList.contains("nav-open")) {
      navigation(false);
      document.querySelector("[data-nav]").focus();
    }
  });

  // A dialog gives the focus back to what it was opened by; the server takes it away before it could do that itself.
  let opener = null;
  document.addEventListener("focusin", (event) => {
    if (!document.querySelector(".q-dialog")) opener = event.target;
  });
  new MutationObserver((changes) => {
    const gone = changes.flatMap(({ removedNodes }) => [...removedNodes]);
    if (!gone.some((node) => node.id?.startsWith("q-portal--dialog")) || document.activeElement !== document.body)
      return;
    const back = opener?.isConnected && opener.checkVisibility() ? opener : document.getElementById("content");
    back?.focus({ preventScroll: back !== opener });
  }).observe(document.body, { childList: true });

  function notice({ text, kind, detail, code }) {
    const place = document.getElementById("notices");
    if (!place) return;
    const made = document.createElement("div");
    made.className = `notice notice-${kind} notice-passing`;
    const title = Object.assign(document.createElement("p"), { className: "notice-title", textContent: text });
    const close = Object.assign(document.createElement("button"), { className: "icon-button small", type: "button" });
    close.setAttribute("aria-label", "Close");
    close.textContent = "×";
    close.addEventListener("click", () => made.remove());
    made.append(title, close);
    if (detail) made.append(Object.assign(document.createElement("p"), { textContent: detail }));
    if (code) made.append(Object.assign(document.createElement("p"), { className: "notice-code", textContent: code }));
    place.append(made);
    while (place.children.length > 4) place.firstChild.remove();
    if (kind === "good") setTimeout(() => made.remove(), 5000);
  }

  globalThis.tidemill = { look, notice };
  look(document);
  setInterval(() => look(document), 10_000);
})();
