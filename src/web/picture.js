// What this client knows: me, channels, people, and what goes on now. It is what the server said last, never a guess.

/** My own state in a call: pending, accepted, rejected, left, or undefined. */
export const stateOf = (call, name) => call.participants.find((participant) => participant.username === name)?.state;

export const isLive = (call) => call.state === "ringing" || call.state === "active";

/** The names of those who are on a call. */
export const peopleOn = (call) =>
  call.participants.filter((participant) => participant.state === "accepted").map(({ username }) => username);

const ENDINGS = {
  hangup: "The call has ended.",
  rejected: "The call was declined.",
  timeout: "Nobody answered.",
  restart: "The call ended because the server was started anew. You can call again now.",
  abandoned: "The call ended because the server heard from nobody on it.",
  admin: "The call was ended by an administrator.",
  max_duration: "The call ended because it had reached the longest time allowed.",
};

/** Why a call ended, for people. */
export const whyEnded = (call) => ENDINGS[call.ended_reason] ?? "The call has ended.";

/** The name of the direct-message channel of these people, as the server spells it. */
export const directChannel = (...names) => `dm:${[...new Set(names)].sort().join(":")}`;

export class Picture extends EventTarget {
  me = null;
  /** Channels by name: `{channel, title, members}`. */
  channels = new Map();
  people = [];
  /** Live calls by id, as GET /calls/ID/state gives them. */
  calls = new Map();
  /** What rings for me, by id. */
  incoming = new Map();
  /** Active screen shares by id. */
  shares = new Map();
  missed = [];
  /** Whether the stream of events is open. */
  online = false;

  /** What GET /me says. */
  set({ username, channels, people, calls }) {
    this.me = username;
    this.channels = new Map(channels.map((channel) => [channel.channel, channel]));
    this.people = people;
    this.calls = new Map(calls.map((call) => [call.call_id, call]));
    this.changed();
  }

  clear() {
    this.me = null;
    for (const map of [this.channels, this.calls, this.incoming, this.shares]) {
      map.clear();
    }
    this.people = [];
    this.missed = [];
    this.changed();
  }

  /** Takes in an event of the stream. */
  hear(name, data) {
    if (name === "snapshot") {
      this.calls = new Map(data.calls.map((call) => [call.call_id, call]));
      this.incoming = new Map(data.incoming.map((call) => [call.call_id, call]));
      this.shares = new Map(data.shares.map((share) => [share.share_id, share]));
    } else if (name === "incoming") {
      this.incoming.set(data.call_id, data);
    } else if (name === "call") {
      this.#call(data);
    } else if (name === "share") {
      this.shares.delete(data.share_id);
      if (data.state === "active") {
        this.shares.set(data.share_id, data);
      }
    }
    this.changed();
  }

  #call(call) {
    this.calls.delete(call.call_id);
    if (isLive(call)) {
      this.calls.set(call.call_id, call);
    }
    // Answered or declined on any device of mine, or over: it rings no more.
    if (!isLive(call) || stateOf(call, this.me) !== "pending") {
      this.incoming.delete(call.call_id);
    }
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  // ---- questions

  /** What people call a channel. */
  title(channel) {
    const known = this.channels.get(channel);
    if (known?.title) {
      return known.title;
    }
    const others = this.members(channel).filter((name) => name !== this.me);
    if (others.length > 0) {
      return others.join(", ");
    }
    // Somebody who was invited from outside does not know the channel's name.
    const initiator = (this.callIn(channel) ?? [...this.incoming.values()].find((call) => call.channel === channel))?.initiator;
    return initiator ? `${initiator}’s call` : "A call elsewhere";
  }

  members(channel) {
    const known = this.channels.get(channel);
    return known ? known.members : channel.startsWith("dm:") ? channel.slice(3).split(":") : [];
  }

  /** The live call of a channel. */
  callIn(channel) {
    return [...this.calls.values()].find((call) => call.channel === channel);
  }

  /** The channels to list: mine, and those from outside into whose call I was asked; not the pairs, which stand as people. */
  listed() {
    const visited = [...this.calls.values()].map((call) => call.channel).filter((channel) => !this.channels.has(channel));
    const all = [...this.channels.values(), ...visited.map((channel) => ({ channel, members: this.members(channel) }))];
    return all.filter(({ channel, members }) => !(channel.startsWith("dm:") && members.length <= 2 && members.includes(this.me)));
  }

  sharesIn(channel) {
    return [...this.shares.values()].filter((share) => share.channel === channel);
  }

  /** What is known of somebody's doings: "on a call", "ringing", or nothing. */
  presence(name) {
    const states = [...this.calls.values()].map((call) => [call.state, stateOf(call, name)]);
    if (states.some(([state, mine]) => mine === "accepted" && state === "active")) {
      return "on a call";
    }
    if (states.some(([, mine]) => mine === "accepted")) {
      return "calling";
    }
    if (states.some(([, mine]) => mine === "pending")) {
      return "ringing";
    }
    return [...this.shares.values()].some((share) => share.sharer === name) ? "sharing a screen" : "";
  }
}
