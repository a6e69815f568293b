"use strict";
// Tables whose columns can be sorted, and the search of the front page. Without this script both are plain tables.
(() => {
  const numberOf = (text) => {
    const units = { "ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "%": 1e-2 };
    const found = /^\s*(-?[\d.,]+(?:e-?\d+)?)\s*([^\s\d(]*)/.exec(text);
    return /^\s*∞/.test(text) ? Infinity : found ? Number(found[1].replaceAll(",", "")) * (units[found[2]] ?? 1) : NaN;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    if (table.tHead.rows.length > 1 || table.tBodies[0].rows.length < 2) continue;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent.trim(), row]);
        const numbers = rows.map(([text]) => numberOf(text));
        const numeric = numbers.filter((n) => !Number.isNaN(n)).length * 2 > rows.length;
        // What is no number goes to the end, whichever way.
        const order = rows.map((row, i) => [row, numbers[i]]).sort(([[a], x], [[b], y]) => {
          if (!numeric) return sign * a.localeCompare(b);
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
          return x === y ? 0 : x < y ? -sign : sign;
        });
        table.tBodies[0].append(...order.map(([[, row]]) => row));
      });
    });
  }
  const box = document.getElementById("search");
  if (!box) return;
  const rows = [...document.querySelectorAll("#losses tbody tr")];
  const count = document.getElementById("found");
  const plain = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "");
  const texts = rows.map((row) => plain(row.dataset.search));
  const look = () => {
    const words = box.value.toLowerCase().split(/\s+/).map(plain).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => texts[i].includes(word));
      shown += !row.hidden;
    });
    count.textContent = words.length ? `${shown} of ${rows.length} losses` : `${rows.length} losses`;
  };
  box.addEventListener("input", look);
  box.addEventListener("keydown", (event) => {
    const first = rows.find((row) => !row.hidden);
    if (event.key === "Enter" && first) first.querySelector("a").click();
  });
  look();
})();
