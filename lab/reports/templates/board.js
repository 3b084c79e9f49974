"use strict";
// one order and one filter for all tables; without a script the page shows everything, in the order of the leak
const find = (selector, root = document) => [...root.querySelectorAll(selector)];
const words = document.getElementById("words"), dataset = document.getElementById("dataset");
const order = document.getElementById("order"), clean = document.getElementById("clean");

function sort(key, rises) {
  for (const table of find("table.board")) {
    const heads = find("thead th", table), column = heads.findIndex((head) => head.dataset.key === key);
    const value = (row) => row.cells[column].dataset.value;
    const sign = rises ? 1 : -1;
    // what was not measured comes last, whichever way
    const compare = (a, b) => (value(a) === "") - (value(b) === "") ||
      sign * (key === "name" ? value(a).localeCompare(value(b)) : value(a) - value(b));
    for (const row of find("tbody tr", table).sort(compare)) table.tBodies[0].append(row);
    heads.forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", rises ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  }
  order.value = `${key} ${rises ? "up" : "down"}`;
  if (order.selectedIndex < 0) order.selectedIndex = 0;
}

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of find("[data-words]")) {
    const says = one.dataset.words;
    one.hidden = !wanted.every((word) => says.includes(word)) ||
      (dataset.value && one.dataset.dataset !== dataset.value) || (clean.checked && one.dataset.flags !== "0");
  }
  const left = find("table.board tbody tr").filter((row) => !row.hidden).length;
  for (const group of find("section.group")) group.hidden = !find("tbody tr:not([hidden])", group).length;
  document.getElementById("left").textContent = left ? `${left} lines` : "No entry fits. Take a filter off.";
}

for (const button of find("thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), was = head.getAttribute("aria-sort");
    sort(head.dataset.key, was ? was === "descending" : head.dataset.rises === "1");
  });
}
order.addEventListener("change", () => { const [key, way] = order.value.split(" "); sort(key, way === "up"); });
for (const field of [words, dataset, clean]) field.addEventListener("input", filter);
const open = () => {
  const told = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (told) told.querySelector("details").open = true;
};
addEventListener("hashchange", open);
open();
document.querySelector(".filters").hidden = false;
filter();
