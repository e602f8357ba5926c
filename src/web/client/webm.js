// @ts-check
// Splits a WebM recording into its init segment (everything before the first cluster) and whole clusters. A receiver
// needs the init segment and can begin with any cluster. MediaRecorder cuts its pieces anywhere.
//
// EBML (RFC 8794): an element is an id, a length and content. A live recording leaves the length of the segment and of
// its clusters unknown.

const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;

/** A length with all bits set. */
const UNKNOWN = -1;

/** @typedef {{ init: Uint8Array<ArrayBuffer> | null, clusters: Uint8Array<ArrayBuffer>[] }} Parts */

export class Splitter {
  /** @type {Uint8Array<ArrayBuffer>} */
  #bytes = new Uint8Array(0);
  /** Where the next element begins. */
  #at = 0;
  #hasInit = false;

  /**
   * @param {Uint8Array} more the next piece of the recording
   * @returns {Parts} what is complete now; `init` comes once
   */
  push(more) {
    const bytes = new Uint8Array(this.#bytes.length + more.length);
    bytes.set(this.#bytes);
    bytes.set(more, this.#bytes.length);
    this.#bytes = bytes;
    /** @type {Parts} */
    const parts = { init: null, clusters: [] };
    for (let header = this.#header(); header; header = this.#header()) {
      const { id, length, size } = header;
      if (id === CLUSTER && this.#at > 0) {
        this.#cut(parts);
      }
      // The segment and a cluster of unknown length are entered: their children follow one after the other.
      const isEntered = id === SEGMENT || length === UNKNOWN;
      const next = this.#at + size + (isEntered ? 0 : length);
      if (next > this.#bytes.length) {
        break;
      }
      this.#at = next;
    }
    return parts;
  }

  /** @param {Parts} parts */
  #cut(parts) {
    const part = this.#bytes.slice(0, this.#at);
    this.#bytes = this.#bytes.slice(this.#at);
    this.#at = 0;
    if (this.#hasInit) {
      parts.clusters.push(part);
    } else {
      this.#hasInit = true;
      parts.init = part;
    }
  }

  /** Id and length of the next element, and the size of both in bytes; null if they are incomplete. */
  #header() {
    const id = this.#number(this.#at, false);
    const length = id && this.#number(this.#at + id.size, true);
    return length ? { id: id.value, length: length.value, size: id.size + length.size } : null;
  }

  /**
   * A number of variable size: the first byte has as many leading zeros as bytes follow it.
   * @param {number} at
   * @param {boolean} isLength a length drops the marker bit, an id keeps it
   */
  #number(at, isLength) {
    const first = this.#bytes[at];
    const size = first === undefined ? 0 : Math.clz32(first) - 23;
    if (size === 0 || size > 8 || at + size > this.#bytes.length) {
      return null;
    }
    const mask = 0xff >> size;
    let value = isLength ? first & mask : first;
    let isUnknown = value === mask;
    for (const byte of this.#bytes.subarray(at + 1, at + size)) {
      value = value * 256 + byte;
      isUnknown &&= byte === 0xff;
    }
    return { value: isLength && isUnknown ? UNKNOWN : value, size };
  }
}
