// @ts-check
// Notifications of calls, also while the page is closed: it shows what the server pushes, and what the open page asks for.
//
// It handles no request and caches nothing. A page from a cache could be of another version than the server, which makes
// browsers ask for each file, and without the server there is nothing to call. The folder of this file is its scope, in
// which there is no page.

/**
 * @typedef {object} Message what is pushed
 * @property {"ring" | "missed" | "answered" | "declined" | "over"} kind
 * @property {string} call_id
 * @property {string} caller the display name
 * @property {string | null} title of a private channel
 */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** The page, whose files are in the folder of this one. */
const PAGE = new URL("../", worker.location.href).href;

const ICON = new URL("icon-192.png", worker.location.href).href;

/** How a ring ended on another device. @type {Record<string, string>} */
const ENDINGS = { answered: "Answered on another device", declined: "Declined on another device", over: "The call is over" };

worker.addEventListener("push", (event) => event.waitUntil(onPush(event.data?.json())));
worker.addEventListener("message", (event) => event.waitUntil(onMessage(event.data)));
worker.addEventListener("notificationclick", (event) => event.waitUntil(onClick(event.notification, event.action)));
worker.addEventListener("pushsubscriptionchange", (event) => /** @type {ExtendableEvent} */ (event).waitUntil(renew()));

/**
 * Browsers want a visible notification for each push, unless the person looks at the page, which shows all of it itself.
 * @param {Message} message
 */
async function onPush(message) {
  const windows = await pageWindows();
  if (windows.some(({ focused, visibilityState }) => focused && visibilityState === "visible")) {
    await close(message.call_id);
  } else {
    await show(message);
  }
}

/**
 * The page rings, or rings no longer.
 * @param {{ show?: Message, close?: string }} request
 */
async function onMessage({ show: message, close: id }) {
  await (message ? onPush(message) : close(id ?? ""));
}

/** @param {Message} message */
async function show(message) {
  const { kind, call_id: id, caller, title } = message;
  const options = { tag: id, icon: ICON, data: message, body: title ?? "" };
  if (kind === "ring") {
    const actions = [{ action: "answer", title: "Answer" }, { action: "decline", title: "Decline" }];
    const ring = { ...options, actions, requireInteraction: true, vibrate: [300, 150, 300] };
    await worker.registration.showNotification(`${caller} is calling`, ring);
  } else if (kind === "missed") {
    await worker.registration.showNotification(`Missed call from ${caller}`, options);
    // Without a number: the page knows it.
    await worker.navigator.setAppBadge?.().catch(() => {});
  } else {
    // It takes the place of the one that rings, without a sound.
    const text = ENDINGS[kind] ?? ENDINGS.over;
    await worker.registration.showNotification(text, { ...options, body: caller, silent: true });
  }
}

/**
 * Takes away that a call rings. News of a missed one stays.
 * @param {string} id
 */
async function close(id) {
  const shown = await worker.registration.getNotifications({ tag: id });
  shown.filter(({ data }) => data.kind === "ring").forEach((notification) => notification.close());
}

/**
 * @param {Notification} notification
 * @param {string} action
 */
async function onClick(notification, action) {
  notification.close();
  /** @type {Message} */
  const message = notification.data;
  const { kind, call_id: id } = message;
  if (action === "decline") {
    await decline(message);
    return;
  }
  const answers = action === "answer";
  const [window] = await pageWindows();
  if (window) {
    await window.focus();
    window.postMessage(answers ? { answer: id } : {});
  } else if (answers) {
    await worker.clients.openWindow(`${PAGE}?answer=${encodeURIComponent(id)}`);
  } else {
    await worker.clients.openWindow(kind === "missed" ? `${PAGE}#history` : PAGE);
  }
}

/** @param {Message} message */
async function decline(message) {
  try {
    await post(`calls/${encodeURIComponent(message.call_id)}/reject`);
  } catch {
    await show(message); // it still rings
  }
}

/** The browser has ended the subscription. */
async function renew() {
  const { public_key: key } = await (await fetch(new URL("push", PAGE))).json();
  if (key !== null) {
    const subscription = await worker.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    await post("push/subscriptions", subscription);
  }
}

/**
 * Sends a request with the cookie of the session. A refusal is an answer, too.
 * @param {string} path
 * @param {unknown} [body]
 */
const post = (path, body = {}) =>
  fetch(new URL(path, PAGE), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

/**
 * The windows of the page, those that a person sees first. Guests have one of their own.
 * @returns {Promise<WindowClient[]>}
 */
async function pageWindows() {
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  return windows.filter(({ url }) => {
    const { origin, pathname, hash } = new URL(url);
    return origin + pathname === PAGE && !hash.startsWith("#join/");
  });
}
