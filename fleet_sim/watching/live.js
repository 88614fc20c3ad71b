
"use strict";
// Ask for the page again, and put its new parts in the place of the old ones.
(() => {
  const again = async () => {
    try {
      const answer = await fetch("/");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set([...document.querySelectorAll("details[open] summary")].map((s) => s.textContent));
      for (const name of ["header.top", "main"]) {
        document.querySelector(name).replaceWith(page.querySelector(name));
      }
      document.querySelectorAll("summary").forEach((s) => { s.parentElement.open = open.has(s.textContent); });
      document.title = page.title;
    } catch {
      document.querySelector("footer").textContent = "The run is over, or cannot be reached: this is what it said last.";
      return;
    }
    setTimeout(again, 2000);
  };
  setTimeout(again, 2000);
})();
