"use strict";
// The page is whole without this: here are only the search and the copy buttons.

const find = document.getElementById("find");
const sections = [...document.querySelectorAll("main section")];
const parts = [...document.querySelectorAll("main .part")];

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (text) => words.every((word) => text.toLowerCase().includes(word));
  for (const section of sections) section.hidden = !matches(section.dataset.find + " " + section.textContent);
  for (const part of parts) part.hidden = words.length > 0;
  for (const list of document.querySelectorAll("nav ul")) {
    for (const entry of list.children) entry.hidden = targetOf(entry.firstElementChild.hash).hidden;
    list.previousElementSibling.hidden = [...list.children].every((entry) => entry.hidden);
  }
  const left = sections.filter((section) => !section.hidden).length;
  document.getElementById("found").textContent = words.length === 0 ? "" : `${left || "nothing"} found`;
}

function targetOf(hash) {
  return document.getElementById(decodeURIComponent(hash.slice(1)));
}

function showTarget() {
  const target = targetOf(location.hash);
  if (target === null || !target.hidden) return;
  find.value = "";
  search();
  target.scrollIntoView();
}

function addCopyButton(sample) {
  const button = document.createElement("button");
  const code = sample.querySelector("code");
  const say = (word) => {
    button.textContent = word;
    button.setAttribute("aria-label", `${word} ${code.parentElement.getAttribute("aria-label")}`);
  };
  button.type = "button";
  button.className = "copy";
  say("Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    say("Copied");
    setTimeout(say, 1500, "Copy");
  });
  sample.append(button);
}

document.getElementById("search").hidden = false;
find.addEventListener("input", search);
addEventListener("hashchange", showTarget);
document.querySelectorAll(".sample").forEach(addCopyButton);
