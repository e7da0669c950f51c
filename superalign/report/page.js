"use strict";
// The texts are base64 of ASCII JSON and enter the page as text, never as markup.
for (const button of document.querySelectorAll("button[data-sealed]")) {
  const fields = [...document.getElementById(button.getAttribute("aria-controls")).querySelectorAll("dd")];
  const covers = fields.map((field) => field.firstElementChild);
  const word = button.firstChild;
  button.addEventListener("click", () => {
    const reveal = button.getAttribute("aria-expanded") === "false";
    const texts = reveal ? JSON.parse(atob(button.dataset.sealed)) : {};
    fields.forEach((field, index) => {
      if (reveal) field.textContent = texts[field.dataset.field] || "(empty)";
      else field.replaceChildren(covers[index]);
    });
    button.setAttribute("aria-expanded", String(reveal));
    word.textContent = reveal ? "Cover" : "Reveal";
  });
}
