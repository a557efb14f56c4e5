/* Small behaviours of the pages: finding (Ctrl-K), menus, toasts, copying. No framework, no inline handlers. */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);

  /* --- finding --- */
  let cameFrom = null;
  const palette = () => $("#palette");
  const options = () => [...document.querySelectorAll("#found [role=option]")];
  function openPalette() {
    const box = palette();
    if (!box || box.open) return;
    cameFrom = document.activeElement;
    box.showModal();
    const field = $("input", box);
    field.select();
    field.dispatchEvent(new Event("find"));
  }
  function choose(step) {
    const all = options();
    if (!all.length) return;
    const now = all.findIndex((o) => o.getAttribute("aria-selected") === "true");
    const next = (now + step + all.length) % all.length;
    all.forEach((o, i) => o.setAttribute("aria-selected", String(i === next)));
    all[next].scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openPalette();
    } else if (palette()?.open) {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        choose(event.key === "ArrowDown" ? 1 : -1);
      } else if (event.key === "Enter") {
        const link = $("#found [aria-selected=true] a") || $("#found [role=option] a");
        if (link) {
          event.preventDefault();
          location.assign(link.href);
        }
      }
    } else if (event.key === "Escape") {
      closeMenus();
    }
  });
  document.addEventListener("close", (event) => {
    if (event.target === palette() && cameFrom) cameFrom.focus();
  }, true);

  /* --- menus --- */
  function closeMenus(except) {
    document.querySelectorAll("details[data-menu-box][open]").forEach((d) => d !== except && (d.open = false));
    if (document.body.classList.contains("k-nav-open") && !except) toggleNav(false);
  }
  function toggleNav(open) {
    document.body.classList.toggle("k-nav-open", open);
    $("[data-menu]")?.setAttribute("aria-expanded", String(document.body.classList.contains("k-nav-open")));
  }

  /* --- toasts --- */
  function toast(text) {
    const place = $("#toast");
    if (!place) return;
    place.innerHTML = text;
    setTimeout(() => { place.innerHTML = ""; }, 10000);
  }
  document.addEventListener("htmx:responseError", (event) => {
    const text = event.detail?.xhr?.responseText || "";
    if (text.includes("k-toast")) toast(text);
  });

  document.addEventListener("click", (event) => {
    const target = event.target;
    if (target.closest("[data-find]")) openPalette();
    else if (target.closest("[data-menu]")) toggleNav();
    else if (document.body.classList.contains("k-nav-open") && !target.closest("#nav")) toggleNav(false);
    if (target === palette()) palette().close();
    if (target.closest("[data-dismiss]")) $("#toast").innerHTML = "";
    const copy = target.closest("[data-copy]");
    if (copy) {
      const text = $("[data-copy-from]", copy.parentElement).textContent;
      navigator.clipboard?.writeText(text).then(() => copy.classList.add("is-done"));
    }
    closeMenus(target.closest("details[data-menu-box]") || document.body);
  });
  /* --- the drawer, and lists that are ticked --- */
  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close-drawer]");
    if (close) {
      event.preventDefault();
      history.length > 1 ? history.back() : location.assign(close.href);
      $("#drawer").replaceChildren();
      $("[data-drawer][aria-current]")?.focus();
    }
    const ask = event.target.closest("[data-ask]");
    if (ask && !confirm(ask.dataset.ask)) event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target.id !== "drawer") return;
    document.querySelectorAll("[data-drawer]").forEach((a) => a.closest("tr")?.setAttribute("aria-selected", String(a.pathname === location.pathname)));
    $("#drawer a, #drawer button")?.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  });

  /* --- live parts rest while nobody looks, or while somebody points at them --- */
  const rests = (live) => live.matches("[data-live]") && (document.hidden || live.querySelector("[data-pause]:hover, [data-pause]:focus-within, details[open]"));
  document.addEventListener("htmx:beforeRequest", (event) => rests(event.detail.elt) && event.preventDefault());
  document.addEventListener("htmx:beforeSwap", (event) => rests(event.detail.requestConfig.elt) && event.preventDefault()); // somebody came while it was asked for

  document.querySelectorAll(".k-canvas").forEach((box) => { // what it begins with, in the middle of what is seen
    const begin = box.querySelector(".trig")?.getBoundingClientRect();
    const seen = box.getBoundingClientRect();
    if (begin) box.scrollLeft += begin.left + begin.width / 2 - seen.left - seen.width / 2;
  });
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset?.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
    if (event.target.matches("[data-all]")) {
      event.target.form.querySelectorAll(`input[name=${event.target.dataset.all}]`).forEach((box) => { box.checked = event.target.checked; });
    }
  });
})();
