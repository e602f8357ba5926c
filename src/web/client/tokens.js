// @ts-check
// The bearer token of a client. One that is a JWT (RFC 7519) is replaced before it expires.

import { Emitter } from "./emitter.js";

/**
 * A token, or a function that gets a fresh one. A function that returns null says that nobody is signed in.
 * @typedef {string | (() => string | null | Promise<string | null>)} TokenSource
 */

/** A token is replaced this long before it expires, in seconds, or at three quarters of a short lifetime. */
const RENEWAL_LEAD = 60;
const SHORT_LIFETIME = 0.25;

/** Seconds between two attempts to replace a token. */
const RENEWAL_PAUSE = 5;

/** The longest delay of a timer, in milliseconds. */
const TIMER_MAX = 2 ** 31 - 1;

/** @extends {Emitter<{ renewed: void, error: unknown }>} */
export class Tokens extends Emitter {
  #source;
  /** @type {string | null} */
  #token = null;
  /** The request for a token that all wait for. @type {Promise<string> | null} */
  #pending = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {TokenSource} [source] */
  constructor(source) {
    super();
    this.#source = source;
  }

  /** Whether requests carry tokens at all. */
  get isGiven() {
    return this.#source !== undefined;
  }

  get canRenew() {
    return typeof this.#source === "function";
  }

  /**
   * The present token, or one that replaces `outdated`.
   * @param {string | null} outdated
   * @returns {Promise<string | null>} null if there are no tokens, empty if nobody is signed in
   */
  async get(outdated) {
    if (typeof this.#source !== "function") {
      return this.#source ?? null;
    }
    return this.#token === null || this.#token === outdated ? this.#renew() : this.#token;
  }

  #renew() {
    this.#pending ??= this.#fetch().finally(() => (this.#pending = null));
    return this.#pending;
  }

  async #fetch() {
    const source = /** @type {() => Promise<string | null>} */ (this.#source);
    const token = (await source()) ?? "";
    this.#token = token;
    clearTimeout(this.#timer);
    const lifetime = lifetimeOf(token);
    if (lifetime !== null) {
      const lead = Math.min(RENEWAL_LEAD, lifetime * SHORT_LIFETIME);
      this.#renewAfter(Math.max(lifetime - lead, 1));
    }
    return token;
  }

  /** @param {number} seconds */
  #renewAfter(seconds) {
    this.#timer = setTimeout(() => this.#renewEarly(), Math.min(seconds * 1000, TIMER_MAX));
  }

  async #renewEarly() {
    const before = this.#token;
    try {
      if ((await this.#renew()) !== before) {
        this.emit("renewed");
      }
    } catch (error) {
      this.emit("error", error);
      this.#renewAfter(RENEWAL_PAUSE);
    }
  }

  /** Forgets the token. */
  close() {
    clearTimeout(this.#timer);
    this.#token = null;
  }
}

/**
 * For how many seconds from now a token is valid. A clock that is wrong here does not matter: a fresh token is valid
 * for the time between its `iat` and its `exp`.
 * @param {string} token
 * @returns {number | null} null if the token does not say so
 */
export function lifetimeOf(token) {
  try {
    const { exp, iat } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    const left = exp - Date.now() / 1000;
    const whole = exp - (iat ?? NaN);
    const lifetime = left > 0 && !(whole < left) ? left : whole;
    return Number.isFinite(lifetime) && lifetime > 0 ? lifetime : null;
  } catch {
    return null; // not a JWT
  }
}
