// @ts-check
// The client library of minimost-calls. What it exports here keeps its name and meaning for as long as the number in
// its path stays; the other modules are its parts.

export { Refused, ServerGone } from "./api.js";
export { Calls, connect, openLink } from "./calls.js";
export { DeviceError } from "./devices.js";
