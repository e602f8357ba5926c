// @ts-check
// The format text/event-stream (HTML standard, section 9.2.6).

/** @typedef {{ name: string, id: string, data: string }} ParsedEvent */

/** Parses one stream, in whatever pieces it arrives. */
export class EventParser {
  #decoder = new TextDecoder();
  /** The beginning of a line. */
  #rest = "";
  /** The last line ended with a carriage return: a line feed after it belongs to it. */
  #endedWithReturn = false;
  #name = "";
  #id = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {Uint8Array} bytes
   * @returns {ParsedEvent[]} the events that they complete
   */
  push(bytes) {
    let text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    if (this.#endedWithReturn && text !== "") {
      text = text.replace(/^\n/, "");
      this.#endedWithReturn = false;
    }
    const lines = text.split(/\r\n|\r|\n/);
    this.#endedWithReturn ||= text.endsWith("\r");
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#processLine(line) ?? []);
  }

  /** @param {string} line */
  #processLine(line) {
    if (line === "") {
      return this.#dispatch();
    }
    const [, field, value] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line) ?? [];
    if (field === "event") {
      this.#name = value;
    } else if (field === "data") {
      this.#data.push(value);
    } else if (field === "id" && !value.includes("\0")) {
      this.#id = value;
    }
    return null; // a comment has an empty field name
  }

  /** @returns {ParsedEvent | null} */
  #dispatch() {
    const event = { name: this.#name || "message", id: this.#id, data: this.#data.join("\n") };
    const hasData = this.#data.length > 0;
    this.#name = "";
    this.#data = [];
    return hasData ? event : null;
  }
}
