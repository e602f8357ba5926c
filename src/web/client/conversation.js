// @ts-check
// What the people on a call send each other directly: raised hands, reactions and messages. No server sees them, and
// nobody keeps them.

import { Emitter } from "./emitter.js";

/** @import { PeerMessage } from "./types.js" */

/**
 * @typedef {object} ChatMessage
 * @property {number} number counts the messages of this page
 * @property {string} from
 * @property {string} text
 * @property {number} ts milliseconds since the epoch
 * @property {string[]} unreached of a message of mine: people on the call whom it did not reach
 */

/** What people react with. A reaction that is not listed is ignored. */
export const REACTIONS = ["👍", "👏", "❤️", "😂", "😮", "🎉"];

/** The longest text of a message, in UTF-16 units. */
export const TEXT_MAX = 2_000;

/** How many messages a page shows. */
const MESSAGES_MAX = 300;

/**
 * `hand`, `reaction` and `message` are also emitted for this person.
 * @typedef {object} ConversationEvents
 * @property {{ name: string, isUp: boolean }} hand
 * @property {{ name: string, reaction: string }} reaction
 * @property {ChatMessage} message
 */

/** @extends {Emitter<ConversationEvents>} */
export class Conversation extends Emitter {
  #me;
  #send;
  #count = 0;

  /** Who has raised a hand, the first one first. @type {Set<string>} */
  hands = new Set();
  /** The newest messages, the oldest first. @type {ChatMessage[]} */
  messages = [];

  /**
   * @param {string} me
   * @param {(message: PeerMessage) => string[]} send sends to the others, and names those whom it did not reach
   */
  constructor(me, send) {
    super();
    this.#me = me;
    this.#send = send;
  }

  /** What who joins later has to know. @returns {PeerMessage} */
  get status() {
    return { hand: this.hands.has(this.#me) };
  }

  raiseHand(isUp = true) {
    this.#setHand(this.#me, isUp);
    this.#send(this.status);
  }

  /** @param {string} reaction one of {@link REACTIONS} */
  react(reaction) {
    if (REACTIONS.includes(reaction)) {
      this.#send({ reaction });
      this.emit("reaction", { name: this.#me, reaction });
    }
  }

  /**
   * Sends a message; an empty one is not sent, and a long one is cut.
   * @param {string} text
   */
  say(text) {
    const sent = text.trim().slice(0, TEXT_MAX);
    if (sent !== "") {
      this.#add(this.#me, sent, this.#send({ text: sent }));
    }
  }

  /**
   * @param {string} name of the sender
   * @param {PeerMessage} message what another program sends can be anything
   */
  receive(name, { hand, reaction, text }) {
    if (typeof hand === "boolean") {
      this.#setHand(name, hand);
    }
    if (typeof reaction === "string" && REACTIONS.includes(reaction)) {
      this.emit("reaction", { name, reaction });
    }
    if (typeof text === "string" && text.trim() !== "") {
      this.#add(name, text.trim().slice(0, TEXT_MAX), []);
    }
  }

  /**
   * Lowers the hands of people who have left.
   * @param {string[]} present
   */
  keepOnly(present) {
    [...this.hands].filter((name) => !present.includes(name)).forEach((name) => this.#setHand(name, false));
  }

  /**
   * @param {string} name
   * @param {boolean} isUp
   */
  #setHand(name, isUp) {
    if (this.hands.has(name) === isUp) {
      return;
    }
    if (isUp) {
      this.hands.add(name);
    } else {
      this.hands.delete(name);
    }
    this.emit("hand", { name, isUp });
  }

  /**
   * @param {string} from
   * @param {string} text
   * @param {string[]} unreached
   */
  #add(from, text, unreached) {
    this.#count += 1;
    const message = { number: this.#count, from, text, ts: Date.now(), unreached };
    this.messages = [...this.messages, message].slice(-MESSAGES_MAX);
    this.emit("message", message);
  }
}
