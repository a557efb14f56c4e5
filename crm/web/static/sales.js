/* The queue by keyboard, the deal board by mouse and keyboard. Single keys can be switched off and never act inside a field. */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const keysOn = () => localStorage.getItem("kesher-keys") !== "off";
  const rows = () => [...document.querySelectorAll(".k-lead-row")];
  const gone = (target) => target.closest?.("dialog:not([open])"); // a dialog that was just closed may still hold the focus for a moment
  const busy = (target) => (!gone(target) && target.closest?.("input, textarea, select, [contenteditable]")) || $("dialog[open]");

  /* --- one lead after the other, without losing one's place --- */
  function step(by) {
    const all = rows();
    const now = all.findIndex((row) => row.hasAttribute("aria-current"));
    const next = all[Math.min(Math.max(now + by, 0), all.length - 1)];
    if (!next || next === all[now]) {
      if (by > 0) $("#more")?.click();
      return;
    }
    next.click();
    next.scrollIntoView({ block: "nearest" });
  }
  function chosen(row) {
    rows().forEach((one) => one.removeAttribute("aria-current"));
    row?.setAttribute("aria-current", "true");
  }
  document.addEventListener("click", (event) => {
    const row = event.target.closest(".k-lead-row");
    if (row) {
      chosen(row);
      $(".k-leads").dataset.open = "";
    }
    const list = event.target.closest(".k-back a") && rows().length; // it is still here, as it was left
    if (list) {
      event.preventDefault();
      delete $(".k-leads").dataset.open;
      history.replaceState(null, "", event.target.closest("a").href);
      $(".k-lead-row[aria-current]")?.scrollIntoView({ block: "center" });
    }
    const by = event.target.closest("[data-step]");
    if (by) step(Number(by.dataset.step));
    const opens = event.target.closest("[data-opens]");
    if (opens) document.getElementById(opens.dataset.opens)?.showModal();
    const close = event.target.closest("[data-close]");
    if (close) close.closest("dialog").close();
  });
  document.addEventListener("htmx:beforeSwap", (event) => { // of two quick steps the first may be answered last
    const row = event.detail.requestConfig.elt.closest(".k-lead-row");
    if (row && !row.hasAttribute("aria-current")) event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id === "lead") {
      $(".k-lead-main")?.scrollTo({ top: 0 });
      $(".k-lead-pane")?.scrollTo({ top: 0 });
    }
  });
  document.addEventListener("lead-done", () => $(".k-lead-row[aria-current]")?.classList.add("done"));
  document.addEventListener("lead-undone", (event) => {
    const row = $(`.k-lead-row[data-lead="${CSS.escape(event.detail.value)}"]`);
    chosen(row);
    row?.classList.remove("done");
    history.replaceState(null, "", `/leads/${event.detail.value}${location.search}`);
  });
  document.addEventListener("keydown", (event) => {
    if (!$("[data-keys]") || event.ctrlKey || event.metaKey || event.altKey || busy(event.target) || !keysOn()) return;
    const key = event.key.toLowerCase();
    if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "?") $("#keys")?.showModal();
    else if (key === "w") $('.k-lead-main [hx-post*="/wrong"] button')?.focus();
    else if (key === "enter" && event.target === document.body) $(".k-lead-main")?.focus();
    else {
      const button = $(`[data-key="${CSS.escape(key)}"]`);
      if (!button) return;
      button.click();
    }
    event.preventDefault();
  });
  const box = $("[data-keys-on]");
  if (box) {
    box.checked = keysOn();
    box.addEventListener("change", () => localStorage.setItem("kesher-keys", box.checked ? "on" : "off"));
  }

  /* --- the board: drag with the mouse, or lift a card with the space bar and carry it with the arrows --- */
  const board = $("[data-board]");
  if (!board) return;
  const say = (text) => { $("#board-says").textContent = text; };
  let held = null;
  function send(card, column) {
    if (card.closest("[data-stage]") === column) return;
    const form = $("form[data-move]", card);
    form.elements.stage.value = column.dataset.stage;
    form.requestSubmit();
  }
  function lose(card) { // a deal is lost for a reason, so that is asked first
    const dialog = $("#d-lost");
    const move = $("form[data-move]", card);
    if (!dialog || !move) return;
    $("form", dialog).action = move.action;
    $("[data-lost-title]", dialog).textContent = card.getAttribute("aria-label");
    dialog.addEventListener("close", () => {
      move.reset();
      card.focus();
    }, { once: true });
    dialog.showModal();
  }
  board.addEventListener("submit", (event) => {
    if (event.target.elements.stage.value !== "lost") return;
    event.preventDefault();
    lose(event.target.closest("[data-deal]"));
  });
  board.addEventListener("dragstart", (event) => {
    held = event.target.closest("[data-deal]");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", held.dataset.deal);
    held.classList.add("is-held");
  });
  board.addEventListener("dragend", () => {
    held?.classList.remove("is-held");
    held = null;
    board.querySelectorAll(".is-over").forEach((one) => one.classList.remove("is-over"));
  });
  board.addEventListener("dragover", (event) => {
    const column = event.target.closest("[data-stage]");
    if (!held || !column) return;
    event.preventDefault();
    board.querySelectorAll(".is-over").forEach((one) => one !== column && one.classList.remove("is-over"));
    column.classList.add("is-over");
  });
  board.addEventListener("drop", (event) => {
    const column = event.target.closest("[data-stage]");
    if (!held || !column) return;
    event.preventDefault();
    send(held, column);
  });
  const columns = () => [...board.querySelectorAll("[data-stage]")];
  let lifted = null;
  let goal = null;
  function aim(column) {
    columns().forEach((one) => one.classList.toggle("is-over", one === column));
    goal = column;
    say(column ? column.dataset.title : board.dataset.dropped);
  }
  board.addEventListener("keydown", (event) => {
    const card = event.target.closest("[data-deal]");
    if (!card || event.target !== card) return;
    if (event.key === " " || event.key === "Enter") {
      if (lifted === card) {
        const column = goal;
        lifted.classList.remove("is-held");
        lifted = null;
        aim(null);
        send(card, column);
      } else if (event.key === " ") {
        lifted = card;
        card.classList.add("is-held");
        aim(card.closest("[data-stage]"));
        say(board.dataset.lifted);
      } else return;
      event.preventDefault();
    } else if (event.key.toLowerCase() === "l" && keysOn() && !event.ctrlKey && !event.metaKey && !event.altKey) {
      lose(card);
      event.preventDefault();
    } else if (event.key === "Escape" && lifted) {
      lifted.classList.remove("is-held");
      lifted = null;
      aim(null);
    } else if (lifted && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const forward = (event.key === "ArrowRight") !== (document.dir === "rtl");
      const all = columns();
      aim(all[Math.min(Math.max(all.indexOf(goal) + (forward ? 1 : -1), 0), all.length - 1)]);
      event.preventDefault();
    }
  });
})();
