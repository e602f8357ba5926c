// Signing in.

import { Refused, post } from "../api.js";
import { button, h, say } from "../dom.js";

/** The form; `done()` is called when the server has taken name and password. `why` says what led here, if anything did. */
export function signIn(done, why = "") {
  const name = h("input", {
    id: "username", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true,
  });
  const password = h("input", {
    id: "password", name: "password", type: "password", autocomplete: "current-password", required: true,
  });
  const error = h("p", { id: "sign-in-error", class: "error", role: "alert" }, why);
  const submit = button({ text: "Sign in", id: "sign-in", class: "primary wide", type: "submit" });

  const onsubmit = async (event) => {
    event.preventDefault();
    submit.disabled = true;
    say(error, "");
    try {
      await post("/login", { username: name.value.trim(), password: password.value });
      done();
    } catch (problem) {
      say(error, problem.message);
      const field = problem instanceof Refused && problem.status === 401 ? password : name;
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
      { class: "card", onsubmit, novalidate: false },
      h("img", { src: "/web/icon.svg", alt: "", width: "56", height: "56" }),
      h("h1", {}, "Calls"),
      h("p", { class: "quiet" }, "Talk, and show your screen, on your own network."),
      h("label", { for: "username" }, "Name"),
      name,
      h("label", { for: "password" }, "Password"),
      password,
      error,
      submit,
    ),
  );
}
