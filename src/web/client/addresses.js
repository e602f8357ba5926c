// @ts-check
// The addresses of a server: one, or those of the members of a cluster, each of which answers any request.

/** An address, or several. @typedef {string | URL | (string | URL)[]} ServerAddresses */

/** One address is used until it does not answer. */
export class Addresses {
  /** @type {URL[]} */
  #all;
  #index = 0;
  /** The last one that answered. @type {URL | null} */
  #answered = null;

  /** @param {ServerAddresses} servers at least one */
  constructor(servers) {
    this.#all = Array.isArray(servers) ? servers.map(parse) : [parse(servers)];
    if (this.#all.length === 0) {
      throw new TypeError("There is no address of a server.");
    }
  }

  get first() {
    return this.#all[0];
  }

  /** @param {URL} address that the server says it has, too */
  add(address) {
    if (!this.#all.some(({ href }) => href === address.href)) {
      this.#all.push(address);
    }
  }

  /** Forgets all but the first. */
  reset() {
    this.#all.splice(1);
    this.#index = 0;
    this.#answered = null;
  }

  get count() {
    return this.#all.length;
  }

  /** The address for the next request. */
  get current() {
    return this.#all[this.#index];
  }

  /**
   * Makes the next address the one for the next request, unless another request has left this one before.
   * @param {URL} address that does not answer
   * @returns {URL} the one after it
   */
  leave(address) {
    const next = (this.#all.indexOf(address) + 1) % this.#all.length; // the first, if it is forgotten
    if (address === this.current) {
      this.#index = next;
    }
    return this.#all[next];
  }

  /**
   * @param {URL} address that has answered
   * @returns {boolean} whether another one answered before
   */
  noteAnswer(address) {
    // A late answer of an address that was left does not count.
    if (address !== this.current || address === this.#answered) {
      return false;
    }
    const isFirst = this.#answered === null;
    this.#answered = address;
    return !isFirst;
  }
}

/** @param {string | URL} server */
function parse(server) {
  const address = new URL(server);
  if (!address.pathname.endsWith("/")) {
    address.pathname += "/";
  }
  return address;
}
