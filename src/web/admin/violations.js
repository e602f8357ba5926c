// @ts-check
// What is wrong with the data, which is normally nothing.

import { get, messageOf } from "../api.js";
import { button, h, setText } from "../dom.js";
import { sectionElement } from "./parts.js";

/** @import { Section } from "./parts.js" */

/** @returns {Section} */
export function violationsSection() {
  const list = h("ul", { class: "admin-list", id: "admin-violations", "aria-label": "Violations" });
  const message = h("p", { class: "quiet", role: "status", id: "violations-message" });
  const check = async () => {
    setText(message, "Checking…");
    again.disabled = true;
    try {
      /** @type {string[]} */
      const violations = await get("/admin/violations");
      list.replaceChildren(...violations.map((violation) => h("li", {}, violation)));
      setText(message, violations.length === 0 ? "Nothing is wrong." : "");
    } catch (error) {
      setText(message, messageOf(error));
    } finally {
      again.disabled = false;
    }
  };
  const again = button({ text: "Check again", id: "check-again", onclick: check });
  check();
  return { element: sectionElement("Violations", [again], message, list) };
}
