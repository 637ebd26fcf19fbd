// Renews what stands in #live at the interval that the reader picks; htmx fetches and swaps. Pages work without it.
"use strict";
(() => {
  const choice = document.getElementById("renew");
  if (!choice) return;
  const kept = localStorage.getItem("renew");
  choice.value = [...choice.options].some((one) => one.value === kept) ? kept : "0";
  choice.parentElement.hidden = false;
  let last = Date.now();
  choice.addEventListener("change", () => {
    localStorage.setItem("renew", choice.value);
    last = Date.now();
  });
  // Whatever the reader is about is not taken away: a selection, a field or link with the focus, a table laid open.
  const busy = () => {
    const live = document.getElementById("live");
    const selection = document.getSelection();
    return document.hidden || !live || live.contains(document.activeElement) ||
      (selection && !selection.isCollapsed) || live.querySelector("details[open]:not(.filter)") !== null;
  };
  setInterval(() => {
    const seconds = Number(choice.value);
    if (!seconds || Date.now() - last < seconds * 1000 || busy()) return;
    last = Date.now();
    document.body.dispatchEvent(new Event("renew"));
  }, 500);
})();
