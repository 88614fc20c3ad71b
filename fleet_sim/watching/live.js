
"use strict";
// Ask for the page again, and put its new parts in the place of the old ones.
(() => {
  const names = ["header.top", "main"];
  const again = async () => {
    try {
      const answer = await fetch("/");
      // The run that has our port now is another one, and has nothing to show yet.
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set([...document.querySelectorAll("details[open] summary")].map((s) => s.textContent));
      const parts = names.map((name) => page.querySelector(name));
      if (parts.includes(null)) throw new Error("no page of ours");
      names.forEach((name, at) => document.querySelector(name).replaceWith(parts[at]));
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
