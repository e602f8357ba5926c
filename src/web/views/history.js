// Finished calls, newest first, as seen from my side.

import { get } from "../api.js";
import { button, clock, day, h, say } from "../dom.js";
import { icon } from "../icons.js";

const PAGE = 20;

/** A list that loads itself: of one channel, or of all with null. `reload()` begins anew. */
export function historyList(picture, channel) {
  const rows = h("ol", { class: "history", "data-history": channel ?? "all" });
  const words = h("p", { class: "quiet" }, "Loading…");
  // A channel's own calls stand below other things; of all calls there is nothing else to see.
  const note = channel ? words : h("div", { class: "empty" }, icon("history"), words);
  const more = button({ text: "Show older calls", class: "plain", "data-action": "older", hidden: true, onclick: () => load() });
  let last = null;
  let loading = 0;

  async function load() {
    const mine = (loading += 1);
    const query = new URLSearchParams({ limit: PAGE });
    if (channel) {
      query.set("channel", channel);
    }
    if (last) {
      query.set("before", last);
    }
    try {
      const calls = await get(`/calls/history?${query}`);
      if (mine !== loading) {
        return;
      }
      rows.append(...calls.map((call) => row(picture, call, channel === null)));
      last = calls.at(-1)?.call_id ?? last;
      more.hidden = calls.length < PAGE;
      note.hidden = rows.children.length > 0;
      say(words, "No calls yet.");
    } catch (error) {
      say(words, error.message);
      note.hidden = false;
    }
  }

  function reload() {
    last = null;
    loading += 1;
    rows.replaceChildren();
    return load();
  }

  load();
  return { element: h("div", {}, rows, note, more), reload };
}

const WORDS = {
  answered: ["incoming", "outgoing", "Answered"],
  missed: ["missed", "outgoing", "Missed"],
  declined: ["incoming", "outgoing", "Declined"],
  cancelled: ["missed", "outgoing", "Cancelled"],
};

function row(picture, call, withChannel) {
  const mine = call.initiator === picture.me;
  const [theirs, ours, word] = WORDS[call.outcome] ?? ["incoming", "outgoing", call.outcome];
  const missed = call.outcome === "missed" && !mine;
  const outcome = call.outcome === "missed" && mine ? "Nobody answered" : word;
  const length = call.duration === null ? "" : ` · ${clock(call.duration)}`;
  const who = mine ? "You called" : `${call.initiator} called`;
  const where = withChannel ? picture.title(call.channel) : who;
  // Of two people it is clear who called, if it was not me.
  const about = withChannel && where !== call.initiator ? `${who} · ` : "";
  return h(
    "li",
    { class: missed ? "missed" : "", "data-outcome": call.outcome, "data-call": call.call_id },
    icon(mine ? ours : theirs),
    h(
      "div",
      { class: "grow" },
      withChannel ? h("a", { href: `#${encodeURIComponent(call.channel)}` }, where) : h("strong", {}, where),
      h("p", { class: "quiet" }, `${about}${outcome}${length}`),
    ),
    h("time", { class: "quiet", datetime: new Date(call.started_ts * 1000).toISOString() }, day(call.started_ts)),
  );
}
