// @ts-check
// The sign-in form.

import { Refused, messageOf, post } from "../api.js";
import { button, h, setText } from "../dom.js";

/**
 * @param {() => void} onSignedIn
 * @param {string} [reason] why the form is shown
 */
export function signInForm(onSignedIn, reason = "") {
  const name = h("input", {
    id: "username",
    name: "username",
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    required: true,
  });
  const password = h("input", {
    id: "password",
    name: "password",
    type: "password",
    autocomplete: "current-password",
    required: true,
  });
  const message = h("p", { id: "sign-in-error", class: "error", role: "alert" }, reason);
  const submit = button({ text: "Sign in", id: "sign-in", class: "primary wide", type: "submit" });

  const onsubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    submit.disabled = true;
    setText(message, "");
    try {
      await post("/login", { username: name.value.trim(), password: password.value });
      onSignedIn();
    } catch (error) {
      setText(message, messageOf(error));
      const field = error instanceof Refused && error.status === 401 ? password : name;
      field.focus();
      field.select();
    } finally {
      submit.disabled = false;
    }
  };

  return h(
    "main",
    { class: "sign-in", "data-view": "sign-in" },
    h(
      "form",
      { class: "card", onsubmit },
      h("img", { src: "web/icon.svg", alt: "", width: "56", height: "56" }),
      h("h1", {}, "Calls"),
      h("p", { class: "quiet" }, "Calls and screen sharing on your own network."),
      h("label", { for: "username" }, "Username"),
      name,
      h("label", { for: "password" }, "Password"),
      password,
      message,
      submit,
    ),
  );
}
