// @ts-check

/**
 * Calls a listener when this device is online again, or on another network where the browser says so (Chromium's Network
 * Information API).
 * @param {() => void} listener
 * @returns {() => void} removes the listener
 */
export function onNetworkChange(listener) {
  const { connection } = /** @type {{ connection?: EventTarget }} */ (navigator);
  addEventListener("online", listener);
  connection?.addEventListener("change", listener);
  return () => {
    removeEventListener("online", listener);
    connection?.removeEventListener("change", listener);
  };
}
