// @ts-check
// Client state: me, channels, people, live calls and shares, exactly as the server last sent them.

import { Emitter } from "./emitter.js";
import { Names } from "./names.js";

/** @import { CallState, Channel, IncomingCall, Me, MissedCall, PresenceState, ServerEvent, ShareState } from "./types.js" */

/**
 * @param {CallState} call
 * @param {string | null} name
 */
export const participantOf = (call, name) => call.participants.find(({ username }) => username === name);

/**
 * @param {CallState} call
 * @param {string | null} name
 */
export const stateOf = (call, name) => participantOf(call, name)?.state;

/** @param {Pick<CallState, "state">} call */
export const isLive = (call) => call.state === "ringing" || call.state === "active";

/**
 * The names of the participants in a state.
 * @param {CallState} call
 * @param {import("./types.js").ParticipantState} state
 */
const namesIn = (call, state) =>
  call.participants.filter((participant) => participant.state === state).map(({ username }) => username);

/** @param {CallState} call */
export const acceptedNames = (call) => namesIn(call, "accepted");

/** @param {CallState} call */
export const pendingNames = (call) => namesIn(call, "pending");

/** @type {Record<string, string>} */
const END_SENTENCES = {
  hangup: "The call has ended.",
  rejected: "The call was declined.",
  timeout: "No answer.",
  restart: "The call ended because the server restarted. You can call again now.",
  abandoned: "The call ended because everybody lost the connection to the server.",
  admin: "An administrator ended the call.",
  max_duration: "The call reached the maximum duration.",
};

/**
 * @param {CallState} call
 * @param {Names} names
 */
export function endSentence(call, names) {
  if (call.ended_reason === "busy") {
    const callees = call.participants.filter(({ role }) => role === "participant").map(({ username }) => username);
    return callees.length === 1 ? busySentence(callees, names) : "Everybody is busy.";
  }
  return END_SENTENCES[call.ended_reason ?? ""] ?? "The call has ended.";
}

/**
 * @param {string[]} people for whom a call does not ring
 * @param {Names} names
 */
export const busySentence = (people, names) => `${names.listed(people)} ${people.length === 1 ? "is" : "are"} busy.`;

/**
 * The canonical name of a direct-message channel.
 * @param {string[]} names
 */
export const directChannel = (...names) => `dm:${[...new Set(names)].sort().join(":")}`;

/** @extends {Emitter<{ change: void }>} */
export class Store extends Emitter {
  /** Of the people who are not offline, as the server last sent them. @type {Map<string, PresenceState>} */
  #presences = new Map();

  /** @type {string | null} */
  me = null;
  isAdmin = false;
  /** Whether I came by a link. */
  isGuest = false;
  /** Until when no call rings for me, in seconds since the epoch. @type {number | null} */
  quietUntil = null;
  names = new Names();
  /** @type {Map<string, Channel>} */
  channels = new Map();
  /** @type {string[]} */
  people = [];
  /** Live calls by id. @type {Map<string, CallState>} */
  calls = new Map();
  /** Calls that ring for me, by id. @type {Map<string, IncomingCall>} */
  incoming = new Map();
  /** Active screen shares by id. @type {Map<string, ShareState>} */
  shares = new Map();
  /** @type {MissedCall[]} */
  missed = [];
  /** Whether the event stream is open. */
  online = false;

  /** @param {Me} me the answer of GET /me */
  load({ username, role, quiet_until, display_names, channels, people, calls }) {
    this.me = username;
    this.#setCalls(calls);
    this.setDirectory({ role, quiet_until, display_names, channels, people });
  }

  /** @param {Pick<Me, "role" | "quiet_until" | "display_names" | "channels" | "people">} directory */
  setDirectory({ role, quiet_until: quietUntil, display_names: displayNames, channels, people }) {
    this.isAdmin = role === "admin";
    this.isGuest = role === "guest";
    this.quietUntil = quietUntil;
    this.names.set(displayNames);
    this.channels = new Map(channels.map((channel) => [channel.channel, channel]));
    this.people = people;
    this.changed();
  }

  clear() {
    this.me = null;
    this.isAdmin = false;
    this.isGuest = false;
    this.quietUntil = null;
    for (const map of [this.channels, this.calls, this.incoming, this.shares, this.#presences]) {
      map.clear();
    }
    this.people = [];
    this.missed = [];
    this.changed();
  }

  /** @param {ServerEvent} event */
  applyEvent({ name, data }) {
    if (name === "snapshot") {
      this.#setCalls(data.calls);
      this.incoming = new Map(data.incoming.map((call) => [call.call_id, call]));
      this.shares = new Map(data.shares.map((share) => [share.share_id, share]));
    } else if (name === "incoming") {
      this.incoming.set(data.call_id, data);
    } else if (name === "call") {
      this.#applyCall(data);
    } else if (name === "share") {
      this.shares.delete(data.share_id);
      if (data.state === "active") {
        this.shares.set(data.share_id, data);
      }
    } else if (name === "presence") {
      const known = data.all ? [] : this.#presences;
      this.#presences = new Map([...known, ...Object.entries(data.people)]);
    }
    this.changed();
  }

  /** @param {CallState[]} calls */
  #setCalls(calls) {
    this.calls = new Map(calls.map((call) => [call.call_id, call]));
    calls.forEach((call) => this.names.learn(call));
  }

  /** @param {CallState} call */
  #applyCall(call) {
    this.names.learn(call);
    this.calls.delete(call.call_id);
    if (isLive(call) && !call.removed) {
      this.calls.set(call.call_id, call);
    }
    // Answered or declined on another device, or over: it stops ringing here.
    if (!isLive(call) || stateOf(call, this.me) !== "pending") {
      this.incoming.delete(call.call_id);
    }
  }

  changed() {
    this.emit("change");
  }

  // ---- queries

  /**
   * The display name of a channel.
   * @param {string} channel
   */
  title(channel) {
    const known = this.channels.get(channel);
    if (known?.title) {
      return known.title;
    }
    const others = this.members(channel).filter((name) => name !== this.me);
    if (others.length > 0) {
      return this.names.listed(others);
    }
    // A guest does not know the channel's title or members.
    const initiator = (this.callIn(channel) ?? this.incomingIn(channel))?.initiator;
    return initiator ? `${this.names.shown(initiator)}’s call` : "Another channel";
  }

  /**
   * @param {string} channel
   * @returns {string[]} empty if unknown
   */
  members(channel) {
    const known = this.channels.get(channel);
    if (known) {
      return known.members;
    }
    return channel.startsWith("dm:") ? channel.slice(3).split(":") : [];
  }

  /**
   * The name that calls have for a channel, however a page spells it: `dm:` with names in any order, or `ext:` with the
   * id of a host application.
   * @param {string} channel
   */
  canonical(channel) {
    const [, kind, name] = /^(dm|ext):(.*)$/s.exec(channel) ?? [];
    if (kind === "dm") {
      return directChannel(...name.split(":"));
    }
    const hosted = [...this.channels.values()].find(({ external_id: id }) => kind === "ext" && id === name);
    return hosted?.channel ?? channel;
  }

  /**
   * Whether a channel is a direct message between me and one other person.
   * @param {string} channel
   */
  isPair(channel) {
    const members = this.members(channel);
    return channel.startsWith("dm:") && members.length === 2 && members.includes(this.me ?? "");
  }

  /** @param {string} channel */
  callIn(channel) {
    return [...this.calls.values()].find((call) => call.channel === channel);
  }

  /** @param {string} channel */
  incomingIn(channel) {
    return [...this.incoming.values()].find((call) => call.channel === channel);
  }

  /**
   * The channels to list: mine, and those whose call I am a guest of. Pairs are listed as people instead.
   * @returns {Pick<Channel, "channel" | "members">[]}
   */
  listedChannels() {
    const names = new Set([...this.channels.keys(), ...[...this.calls.values()].map((call) => call.channel)]);
    return [...names]
      .filter((channel) => !this.isPair(channel))
      .map((channel) => ({ channel, members: this.members(channel) }));
  }

  /** @param {string} channel */
  sharesIn(channel) {
    return [...this.shares.values()].filter((share) => share.channel === channel);
  }

  /**
   * Whether a person can be reached. On a call and quiet, which is do not disturb, count without a connection, too. A guest
   * sees nobody but the people on the call.
   * @param {string} name
   * @returns {PresenceState}
   */
  presenceOf(name) {
    const isOnCallOfMine = [...this.calls.values()].some((call) => stateOf(call, name) === "accepted");
    return isOnCallOfMine ? "on-call" : (this.#presences.get(name) ?? "offline");
  }

  /**
   * What a person does now in my calls and shares: "on a call", "calling", "ringing", "sharing a screen", or nothing.
   * @param {string} name
   */
  presence(name) {
    const calls = [...this.calls.values()];
    const isOn = (/** @type {CallState} */ call) => stateOf(call, name) === "accepted";
    if (calls.some((call) => call.state === "active" && isOn(call))) {
      return "on a call";
    }
    if (calls.some(isOn)) {
      return "calling";
    }
    if (calls.some((call) => stateOf(call, name) === "pending")) {
      return "ringing";
    }
    return [...this.shares.values()].some((share) => share.sharer === name) ? "sharing a screen" : "";
  }
}
