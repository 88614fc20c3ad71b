
"use strict";
// A line across all charts of the day, and what they read there: from the table behind them.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const hide = () => {
    tip.hidden = true;
    document.querySelectorAll(".cross").forEach((cross) => { cross.hidden = true; });
  };
  const line = (name, text) => {
    const element = document.createElement(name);
    element.textContent = text;
    return element;
  };
  document.addEventListener("pointermove", (event) => {
    const day = event.target instanceof Element && event.target.closest(".day");
    const table = document.getElementById("course");
    if (!day || !table) return hide();
    const plot = day.querySelector(".axis .plot").getBoundingClientRect();
    const share = (event.clientX - plot.left) / plot.width;
    const rows = table.tBodies[0].rows;
    if (share < 0 || share >= 1 || event.target.closest(".heat, .acts")) return hide();
    const row = rows[Math.min(rows.length - 1, Math.floor(share * day.dataset.wide))];
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    tip.replaceChildren(line("b", row.cells[0].textContent));
    [...row.cells].slice(1).forEach((cell, at) => {
      tip.append(line("span", heads[at + 1]), line("i", cell.textContent));
    });
    const cross = day.querySelector(".cross");
    cross.style.left = `${event.clientX - day.getBoundingClientRect().left}px`;
    cross.hidden = tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const right = event.clientX + 16 + box.width > innerWidth;
    tip.style.left = `${Math.max(4, right ? event.clientX - 16 - box.width : event.clientX + 16)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - box.height - 4)}px`;
  });
  document.addEventListener("pointerleave", hide);
})();
