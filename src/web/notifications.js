// @ts-check
// Notifications of the browser: of calls that ring while the page is in the background, and by the push service of the
// browser while it is closed. The service worker shows them.

import { SERVER, get, post, remove } from "./api.js";
import { Emitter } from "./client/emitter.js";

/**
 * Whether calls are notified of while the page is closed, or why not.
 * `asking`: permission is not decided. `unreachable`: the browser has no connection to its push service.
 * @typedef {"on" | "off" | "asking" | "denied" | "insecure" | "unsupported" | "disabled" | "unreachable"} PushState
 */

const WORKER = "web/service_worker.js";

/** Who wants it in this browser. Another person who signs in here has not asked for it. */
const REMEMBERED = "notify-while-closed";

/** Only the page itself has a service worker: not the one in the frame of another site. */
const hasWorkers = () => isSecureContext && "serviceWorker" in navigator && self === top;

const canNotify = () => isSecureContext && "Notification" in self;

/** With Trusted Types, a policy makes the address of a script. */
function workerAddress() {
  const types = /** @type {any} */ (self).trustedTypes;
  return types?.createPolicy("service-worker", { createScriptURL: () => WORKER }).createScriptURL(WORKER) ?? WORKER;
}

/** @extends {Emitter<{ change: void, answer: string }>} */
export class Notifications extends Emitter {
  /** What becomes null if the browser refuses a worker. @type {Promise<ServiceWorkerRegistration | null> | null} */
  #registration = null;
  #isRefused = false;
  /** The notifications of a browser without service workers. @type {Map<string, Notification>} */
  #shown = new Map();
  /** The id of this browser's subscription at the server. @type {string | null} */
  #subscribed = null;
  /** The server's key, null while the server has it off. @type {string | null} */
  #serverKey = null;
  #isUnreachable = false;

  /** The browser may ask for permission after a click only. */
  async ask() {
    await Notification.requestPermission();
    this.#register();
    this.emit("change");
  }

  /** A browser refuses a worker where the person has only clicked a warning of the certificate away. */
  #register() {
    if (hasWorkers() && canNotify() && Notification.permission === "granted" && this.#registration === null) {
      navigator.serviceWorker.addEventListener("message", ({ data }) => data.answer && this.emit("answer", data.answer));
      navigator.serviceWorker.startMessages();
      this.#registration = navigator.serviceWorker.register(workerAddress()).then(active).catch(() => null);
      this.#registration.then((registration) => (this.#isRefused = registration === null));
    }
    return this.#registration;
  }

  // ---- while the page is open

  /**
   * @param {string} id of a call that rings
   * @param {string} caller the display name
   * @param {string} title of the channel
   */
  async showRing(id, caller, title) {
    if (!canNotify() || Notification.permission !== "granted") {
      return;
    }
    const registration = await this.#register();
    if (registration) {
      registration.active?.postMessage({ show: { kind: "ring", call_id: id, caller, title } });
      return;
    }
    try {
      const options = { tag: id, body: title, icon: "web/icon.svg", requireInteraction: true };
      const notification = new Notification(`${caller} is calling`, options);
      notification.onclick = () => {
        window.focus();
        notification.close();
      };
      this.#shown.set(id, notification);
    } catch {
      // Phones leave it to service workers.
    }
  }

  /** @param {string} id */
  async closeRing(id) {
    const registration = await this.#registration;
    registration?.active?.postMessage({ close: id });
    this.#shown.get(id)?.close();
    this.#shown.delete(id);
  }

  // ---- while the page is closed

  /** @returns {PushState} */
  get pushState() {
    if (!isSecureContext || this.#isRefused) {
      return "insecure";
    }
    if (!canNotify() || !hasWorkers() || !("PushManager" in self)) {
      return "unsupported";
    }
    if (this.#serverKey === null) {
      return "disabled";
    }
    if (Notification.permission === "denied") {
      return "denied";
    }
    if (this.#subscribed !== null) {
      return "on";
    }
    if (this.#isUnreachable) {
      return "unreachable";
    }
    return Notification.permission === "granted" ? "off" : "asking";
  }

  /**
   * A person has signed in: subscribes again, if they have asked for it here. The subscription ended with the session before.
   * @param {string} me
   */
  async signedIn(me) {
    this.#subscribed = null;
    const registration = await this.#register();
    if (registration && localStorage.getItem(REMEMBERED) === me) {
      await this.#subscribe(registration);
    }
  }

  /** Reads whether the server offers it. */
  async load() {
    this.#serverKey = (await get("/push")).public_key;
    this.emit("change");
  }

  /**
   * After a click: asks for permission, and subscribes.
   * @param {string} me
   */
  async turnOn(me) {
    await Notification.requestPermission();
    const registration = await this.#register();
    if (registration) {
      localStorage.setItem(REMEMBERED, me);
      await this.#subscribe(registration);
    }
    this.emit("change");
  }

  async turnOff() {
    const id = this.#subscribed;
    await this.forget();
    if (id !== null) {
      await remove(`/push/subscriptions/${id}`).catch(() => {}); // the session may have taken it along
    }
    this.emit("change");
  }

  /** The person signs out: the next one has not asked for notifications here. */
  async forget() {
    this.#subscribed = null;
    localStorage.removeItem(REMEMBERED);
    const registration = await this.#registration;
    await (await registration?.pushManager?.getSubscription())?.unsubscribe();
  }

  /** @param {ServiceWorkerRegistration} registration */
  async #subscribe(registration) {
    await this.load();
    if (this.#serverKey === null) {
      return;
    }
    const options = { userVisibleOnly: true, applicationServerKey: this.#serverKey };
    try {
      const before = await registration.pushManager.getSubscription();
      if (before && base64url(before.options.applicationServerKey) !== this.#serverKey) {
        await before.unsubscribe(); // the server has another key now
      }
      const subscription = await registration.pushManager.subscribe(options);
      this.#subscribed = (await post("/push/subscriptions", subscription.toJSON())).id;
      this.#isUnreachable = false;
    } catch (error) {
      if (!(error instanceof DOMException)) {
        throw error;
      }
      this.#isUnreachable = true;
    }
    this.emit("change");
  }
}

/**
 * Waits until the worker of a registration takes messages.
 * @param {ServiceWorkerRegistration} registration
 * @returns {Promise<ServiceWorkerRegistration>}
 */
function active(registration) {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  return new Promise((resolve) => {
    const check = () => worker?.state === "activated" && resolve(registration);
    worker?.addEventListener("statechange", check);
    check();
  });
}

/** @param {ArrayBuffer | null} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes ?? new ArrayBuffer(0))))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** The call that the page was opened to answer. Read once: a reload does not answer again. */
export function takeAnswer() {
  const id = new URLSearchParams(location.search).get("answer");
  if (id !== null) {
    history.replaceState(history.state, "", SERVER.pathname + location.hash);
  }
  return id;
}
