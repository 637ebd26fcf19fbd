"use strict";
// The page is whole without this: here are only the search and the copy buttons.

const find = document.getElementById("find");
const sections = [...document.querySelectorAll("main section")];
const entries = [...document.querySelectorAll("nav li")];

function matches(text, words) {
  const known = text.toLowerCase();
  return words.every((word) => known.includes(word));
}

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of sections) section.hidden = !matches(section.dataset.find + " " + section.textContent, words);
  for (const entry of entries) {
    const target = document.getElementById(entry.firstElementChild.hash.slice(1));
    entry.hidden = words.length > 0 && target !== null && target.hidden;
  }
}

function addCopyButton(sample) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(sample.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  sample.append(button);
}

document.getElementById("search").hidden = false;
find.addEventListener("input", search);
document.querySelectorAll(".sample").forEach(addCopyButton);
