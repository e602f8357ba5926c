// @ts-check
// What the page for admins shows of the API's JSON, and what it reads from fields.

import { formatDuration } from "../dom.js";
import { listed } from "../names.js";

/** @import { AdminCall, AdminPastCall, Setting } from "./types.js" */

/**
 * The title of a private channel, or the people of a direct-message channel. A removed channel has its name.
 * @param {{ channel: string, title: string | null }} call
 */
export function channelTitle({ channel, title }) {
  return title ?? (channel.startsWith("dm:") ? listed(channel.slice(3).split(":")) : channel);
}

/** @param {Pick<AdminCall, "state" | "on_the_call" | "still_ringing" | "screenshare_user">} call */
export function liveCallText({ state, on_the_call: present, still_ringing: ringing, screenshare_user: sharer }) {
  const parts = [state === "active" ? "Active" : "Ringing"];
  if (present.length > 0) {
    parts.push(`on the call: ${listed(present)}`);
  }
  if (ringing.length > 0) {
    parts.push(`ringing: ${listed(ringing)}`);
  }
  if (sharer) {
    parts.push(`shares a screen: ${listed([sharer])}`);
  }
  return parts.join(" · ");
}

/** @param {Pick<AdminPastCall, "initiator" | "outcome" | "reason" | "duration" | "took_part">} call */
export function pastCallText({ initiator, outcome, reason, duration, took_part: people }) {
  const parts = [`${listed([initiator])} called`, reason ? `${outcome} (${reason})` : outcome];
  if (duration !== null) {
    parts.push(formatDuration(duration));
  }
  if (people.length > 0) {
    parts.push(`took part: ${listed(people)}`);
  }
  return parts.join(" · ");
}

/** @param {Pick<Setting, "kind" | "unit" | "lowest" | "highest">} setting */
export function rangeText({ kind, unit, lowest, highest }) {
  if (unit === "switch") {
    return `${lowest} or ${highest}`;
  }
  const range = unit === "count" ? `${lowest} to ${highest}` : `${lowest} to ${highest} ${unit}`;
  return kind === "number" ? range : `${kind} of ${range}`;
}

/**
 * What a setting's field means to the API. What is no number stays text, which the server refuses with a sentence.
 * @param {Setting["kind"]} kind
 * @param {string} text
 * @returns {number | string}
 */
export function settingValue(kind, text) {
  const trimmed = text.trim();
  const number = Number(trimmed);
  return kind === "number" && trimmed !== "" && Number.isFinite(number) ? number : trimmed;
}

/**
 * User names between commas or white space, each once.
 * @param {string} text
 */
export const namesIn = (text) => [...new Set(text.split(/[\s,]+/).filter((name) => name !== ""))];

/**
 * @param {number} count
 * @param {string} singular
 */
export const counted = (count, singular, plural = `${singular}s`) => `${count} ${count === 1 ? singular : plural}`;
