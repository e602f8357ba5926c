// Where a WebM recording may be cut. A receiver who comes late needs the init segment (all before the first cluster), and can
// begin with any whole cluster; MediaRecorder hands out bytes cut anywhere.
//
// EBML (RFC 8794): an element is an ID, a length and its content; a live recording leaves the lengths of the segment and of
// its clusters open.

const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
/** An open length: all bits of it are set. */
const OPEN = -1;

export class Splitter {
  #bytes = new Uint8Array(0);
  /** Where the element begins that is read next. */
  #at = 0;
  #hasInit = false;

  /** Takes more of the recording; answers what is whole now: `{init, clusters}`, of which init comes once. */
  push(more) {
    const bytes = new Uint8Array(this.#bytes.length + more.length);
    bytes.set(this.#bytes);
    bytes.set(more, this.#bytes.length);
    this.#bytes = bytes;
    const whole = { init: null, clusters: [] };
    for (let header = this.#header(); header; header = this.#header()) {
      const { id, length, size } = header;
      if (id === CLUSTER && this.#at > 0) {
        this.#cut(whole);
      }
      // The segment is entered, and so is a cluster without a length: what follows are their children, one after the other.
      const enter = id === SEGMENT || length === OPEN;
      const next = this.#at + size + (enter ? 0 : length);
      if (next > this.#bytes.length) {
        break;
      }
      this.#at = next;
    }
    return whole;
  }

  /** The last cluster, when the recording is over. */
  end() {
    const rest = this.#bytes.slice(0, this.#at);
    return this.#hasInit && rest.length > 0 ? [rest] : [];
  }

  #cut(whole) {
    const part = this.#bytes.slice(0, this.#at);
    this.#bytes = this.#bytes.slice(this.#at);
    this.#at = 0;
    if (this.#hasInit) {
      whole.clusters.push(part);
    } else {
      this.#hasInit = true;
      whole.init = part;
    }
  }

  /** ID and length of the element at hand, and the bytes that they take; null if they have not all come. */
  #header() {
    const id = this.#number(this.#at, false);
    const length = id && this.#number(this.#at + id.size, true);
    return length ? { id: id.value, length: length.value, size: id.size + length.size } : null;
  }

  /** A number of variable size: as many bytes follow the first as it has zeros in front. */
  #number(at, isLength) {
    const first = this.#bytes[at];
    const size = first === undefined ? 0 : Math.clz32(first) - 23;
    if (size === 0 || size > 8 || at + size > this.#bytes.length) {
      return null;
    }
    let value = isLength ? first & (0xff >> size) : first;
    let open = value === 0xff >> size;
    for (const byte of this.#bytes.subarray(at + 1, at + size)) {
      value = value * 256 + byte;
      open &&= byte === 0xff;
    }
    return { value: isLength && open ? OPEN : value, size };
  }
}
