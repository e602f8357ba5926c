// Stand-ins for the browser: time that a test steps, a server, event streams and peer connections.
//
// Import this first. It installs them as globals, as the page's modules expect.

import { webcrypto } from "node:crypto";

const realSetImmediate = setImmediate;

/** Lets everything run that waits for no timer. */
export async function settle() {
  for (let round = 0; round < 10; round += 1) {
    await new Promise((resolve) => realSetImmediate(resolve));
  }
}

// ---- time

class Clock {
  #timers = new Map();
  #nextId = 1;
  now = 1_000_000;

  install() {
    const add = (action, delay, interval) => {
      const id = this.#nextId++;
      this.#timers.set(id, { at: this.now + Math.max(delay ?? 0, 0), action, interval });
      return id;
    };
    const remove = (id) => this.#timers.delete(id);
    globalThis.setTimeout = (action, delay) => add(action, delay, null);
    globalThis.setInterval = (action, delay) => add(action, delay, delay);
    globalThis.clearTimeout = globalThis.clearInterval = remove;
    Date.now = () => this.now;
    Object.defineProperty(performance, "now", { value: () => this.now, configurable: true });
  }

  /** Steps time, running each timer when it is due. */
  async advance(milliseconds) {
    const end = this.now + milliseconds;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) {
        break;
      }
      const [id, timer] = due;
      this.now = Math.max(this.now, timer.at);
      if (timer.interval === null) {
        this.#timers.delete(id);
      } else {
        timer.at += timer.interval;
      }
      timer.action();
      await settle();
    }
    this.now = end;
  }

  /** A machine that sleeps: time passes, and no timer runs. */
  sleep(milliseconds) {
    this.now += milliseconds;
  }

  /** Forgets the timers of the test before. */
  clear() {
    this.#timers.clear();
  }
}

export const clock = new Clock();

// ---- the server

/** What a handler returns instead of an answer. */
export const LOST = Symbol("the request or its answer is lost");

/** What a handler returns instead of an answer to open an event stream. */
export const STREAM = Symbol("an event stream");

/** The address that the server's paths are below. */
export const SERVER = "https://calls.test/talk/";

/** The address of another member of the same cluster. */
export const OTHER = "https://calls-2.test/";

export const refusal = (status, code, more = {}) => ({ status, body: { error: code, code, ...more } });

class Server {
  /** Whether nothing of it answers any more, as after a kill. */
  isDown = false;
  /** Requests as "METHOD path". */
  requests = [];
  bodies = [];
  /** The token of each request, or null. */
  tokens = [];
  credentials = [];
  /** The idempotency key of each request, or null. */
  keys = [];
  /** Milliseconds that the server's clock is ahead. */
  clockLead = 0;
  #handlers = [];

  /** @param {string} address */
  constructor(address) {
    this.address = address;
  }

  /** Breaks its streams, and answers nothing more. */
  kill() {
    this.isDown = true;
    return Promise.all(FakeEventStream.open.filter(({ server }) => server === this).map((stream) => stream.fail()));
  }

  /** Answers requests to a path, given as text or regular expression; the newest handler is asked first. */
  on(method, path, handler) {
    this.#handlers.unshift({ method, path, handler: typeof handler === "function" ? handler : () => handler });
  }

  /** How often a request was made. */
  count(request) {
    return this.requests.filter((one) => one === request).length;
  }

  reset() {
    this.requests = [];
    this.bodies = [];
    this.tokens = [];
    this.credentials = [];
    this.keys = [];
    this.clockLead = 0;
    this.isDown = false;
    this.#handlers = [];
    this.on("GET", "/calls/ice", { ice_servers: [] });
    this.on("GET", /^\/events/, STREAM);
    this.on("GET", /\/media\?sender=/, { mime_type: "", init: null, chunks: [] });
  }

  async fetch(url, { method = "GET", headers: sent, body, signal, credentials }) {
    signal?.throwIfAborted();
    const path = url.slice(this.address.length - 1);
    this.requests.push(`${method} ${path}`);
    this.credentials.push(credentials);
    this.keys.push(sent["idempotency-key"] ?? null);
    this.tokens.push(sent.authorization?.slice("Bearer ".length) ?? null);
    this.bodies.push(body ? JSON.parse(body) : null);
    if (this.isDown) {
      throw new TypeError("Failed to fetch");
    }
    const matches = (pattern) => (pattern instanceof RegExp ? pattern.test(path) : pattern === path);
    const handler = this.#handlers.find((one) => one.method === method && matches(one.path));
    if (!handler) {
      throw new Error(`The fake server has no ${method} ${path}.`);
    }
    const aborted = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    aborted.catch(() => {});
    const result = await Promise.race([handler.handler(body ? JSON.parse(body) : null), aborted]);
    if (result === LOST) {
      throw new TypeError("Failed to fetch");
    }
    if (result === STREAM) {
      return { ok: true, status: 200, headers: new Headers(), body: new FakeEventStream(path, signal, this).body };
    }
    const { status = 200, body: answer = result } = result?.body && result.status ? result : {};
    const headers = new Headers({ date: new Date(clock.now + this.clockLead).toUTCString() });
    return { ok: status < 300, status, headers, json: async () => answer };
  }
}

export const server = new Server(SERVER);

/** Another member of the same cluster. */
export const other = new Server(OTHER);

/** Sends a request to the server that it names. */
const fetchFromServer = async (url, options) => {
  const one = [server, other].find(({ address }) => url.startsWith(address));
  if (!one) {
    throw new Error(`${url} is not at a fake server.`);
  }
  return one.fetch(url, options);
};

// ---- event streams

export class FakeEventStream {
  static all = [];
  isClosed = false;
  #controller;

  constructor(url, signal, server) {
    this.url = url;
    this.server = server;
    this.body = new ReadableStream({ start: (controller) => (this.#controller = controller) });
    signal.addEventListener("abort", () => {
      if (!this.isClosed) {
        this.fail();
      }
    });
    FakeEventStream.all.push(this);
  }

  static get open() {
    return FakeEventStream.all.filter((stream) => !stream.isClosed);
  }

  write(text) {
    if (!this.isClosed) {
      this.#controller.enqueue(new TextEncoder().encode(text));
    }
    return settle();
  }

  deliver(name, id, data) {
    return this.write(`event:${name}\ndata:${JSON.stringify(data)}\nid:${id}\n\n`);
  }

  /** The server ends it. */
  end() {
    this.isClosed = true;
    this.#controller.close();
    return settle();
  }

  /** The connection breaks. */
  fail() {
    this.isClosed = true;
    this.#controller.error(new TypeError("network error"));
    return settle();
  }
}

// ---- media

export class FakeTrack {
  readyState = "live";
  muted = false;
  enabled = true;
  constructor(kind) {
    this.kind = kind;
  }
  getSettings() {
    return this.kind === "video" ? { width: 1280, height: 720 } : {};
  }
  stop() {
    this.readyState = "ended";
  }
  clone() {
    return new FakeTrack(this.kind);
  }
}

export class FakeStream {
  static #count = 0;
  id = `stream-${FakeStream.#count++}`;
  constructor(tracks = []) {
    this.tracks = [...tracks];
  }
  getTracks() {
    return this.tracks;
  }
  getAudioTracks() {
    return this.tracks.filter(({ kind }) => kind === "audio");
  }
  getVideoTracks() {
    return this.tracks.filter(({ kind }) => kind === "video");
  }
  addTrack(track) {
    this.tracks.push(track);
  }
  removeTrack(track) {
    this.tracks = this.tracks.filter((one) => one !== track);
  }
}

/** Audio sources that are connected. */
export const audioSources = new Set();

class FakeSourceNode {
  connect() {
    audioSources.add(this);
  }
  disconnect() {
    audioSources.delete(this);
  }
}

/** How loud every sound is: the value of its samples. */
export const sound = { level: 0 };

class FakeAnalyserNode {
  getFloatTimeDomainData(samples) {
    samples.fill(sound.level);
  }
}

class FakeAudioContext {
  state = "running";
}

/** The part of an element that a client without a page uses. */
class FakeElement extends EventTarget {
  dataset = {};
  setAttribute() {}
  getAttribute() {
    return null;
  }
  removeAttribute() {}
  append() {}
  remove() {}
  load() {}
}

/** A recorder of nothing. */
export class FakeRecorder {
  static all = [];
  static isTypeSupported = () => true;
  state = "inactive";
  constructor(stream) {
    this.stream = stream;
    FakeRecorder.all.push(this);
  }
  static get running() {
    return FakeRecorder.all.filter(({ state }) => state === "recording");
  }
  start() {
    this.state = "recording";
  }
  stop() {
    this.state = "inactive";
  }
}

// ---- peer connections

/** The states and descriptions of an RTCPeerConnection (WebRTC 1.0, section 4.4), without a network. */
export class FakeConnection {
  static all = [];
  /** Makes the next constructor fail. */
  static failNext = false;
  static #fragments = 0;

  signalingState = "stable";
  connectionState = "new";
  currentLocalDescription = null;
  currentRemoteDescription = null;
  #pendingLocal = null;
  #pendingRemote = null;
  #isNegotiationNeeded = false;
  #transceivers = [];
  candidates = [];
  rollbacks = 0;
  iceRestarts = 0;

  constructor() {
    if (FakeConnection.failNext) {
      FakeConnection.failNext = false;
      throw new Error("no connection");
    }
    this.channel = { readyState: "open", sent: [], send: (text) => this.channel.sent.push(JSON.parse(text)) };
    FakeConnection.all.push(this);
  }

  get localDescription() {
    return this.#pendingLocal ?? this.currentLocalDescription;
  }

  get remoteDescription() {
    return this.#pendingRemote ?? this.currentRemoteDescription;
  }

  createDataChannel() {
    return this.channel;
  }

  #requireNegotiation() {
    this.#isNegotiationNeeded = true;
    queueMicrotask(() => {
      if (this.#isNegotiationNeeded && this.signalingState === "stable" && !this.isClosed) {
        this.onnegotiationneeded?.();
      }
    });
  }

  addTrack(track) {
    const parameters = { encodings: [{}] };
    const sender = {
      track,
      replaceTrack: async (other) => (sender.track = other),
      getParameters: () => structuredClone(parameters),
      setParameters: async (changed) => {
        sender.changes = (sender.changes ?? 0) + 1;
        Object.assign(parameters, structuredClone(changed));
      },
    };
    this.#transceivers.push({ sender });
    this.#requireNegotiation();
    return sender;
  }

  addTransceiver(kind, options) {
    this.#transceivers.push({ kind, ...options });
    this.#requireNegotiation();
  }

  getTransceivers() {
    return this.#transceivers;
  }

  restartIce() {
    this.iceRestarts += 1;
    this.#requireNegotiation();
  }

  #description(type) {
    return { type, sdp: `a=ice-ufrag:${type}${FakeConnection.#fragments++}\n` };
  }

  async setLocalDescription() {
    await null;
    if (this.signalingState === "have-remote-offer") {
      this.currentLocalDescription = this.#description("answer");
      this.currentRemoteDescription = this.#pendingRemote;
      this.#pendingRemote = null;
      this.#becomeStable();
    } else {
      this.#isNegotiationNeeded = false;
      this.#pendingLocal = this.#description("offer");
      this.signalingState = "have-local-offer";
    }
  }

  async setRemoteDescription(description) {
    await null;
    if (description.type === "offer") {
      if (this.signalingState === "have-local-offer") {
        this.rollbacks += 1;
        this.#pendingLocal = null;
        this.#isNegotiationNeeded = true;
      }
      this.#pendingRemote = description;
      this.signalingState = "have-remote-offer";
      return;
    }
    if (this.signalingState !== "have-local-offer") {
      throw new Error(`an answer in state ${this.signalingState}`);
    }
    this.currentLocalDescription = this.#pendingLocal;
    this.currentRemoteDescription = description;
    this.#pendingLocal = null;
    this.#becomeStable();
  }

  #becomeStable() {
    this.signalingState = "stable";
    if (this.#isNegotiationNeeded) {
      this.#requireNegotiation();
    }
  }

  async addIceCandidate(candidate) {
    this.candidates.push(candidate);
  }

  /** The browser reports a new state. */
  changeState(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  async getStats() {
    return new Map();
  }

  close() {
    this.isClosed = true;
    this.connectionState = "closed";
  }
}

// ---- installing them

const page = new EventTarget();

/** Dispatches an event of the window. */
export const dispatch = (name) => page.dispatchEvent(new Event(name));

Object.assign(globalThis, {
  addEventListener: page.addEventListener.bind(page),
  removeEventListener: page.removeEventListener.bind(page),
  document: Object.assign(new EventTarget(), {
    title: "",
    visibilityState: "visible",
    baseURI: `${SERVER}relay#x`,
    createElement: () => new FakeElement(),
  }),
  Element: FakeElement,
  MediaRecorder: FakeRecorder,
  fetch: fetchFromServer,
  MediaStream: FakeStream,
  RTCPeerConnection: FakeConnection,
  AudioContext: FakeAudioContext,
  MediaStreamAudioSourceNode: FakeSourceNode,
  AnalyserNode: FakeAnalyserNode,
});
globalThis.crypto ??= webcrypto; // not global in Node 18
Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
clock.install();

/** Begins a test with nothing left from the one before. */
export function reset() {
  clock.clear();
  server.reset();
  other.reset();
  FakeEventStream.all = [];
  FakeConnection.all = [];
  FakeRecorder.all = [];
  document.visibilityState = "visible";
  audioSources.clear();
  sound.level = 0;
}
