// @ts-check
// The JSON of the routes below /admin/ as types, for the type check. Nothing here runs.

/** @import { LifecycleState } from "../client/types.js" */

/**
 * A person, as GET /admin/people answers them.
 * @typedef {object} Person
 * @property {string} username
 * @property {string} display_name
 * @property {"admin" | "member"} role
 * @property {number} created_ts
 * @property {number} sessions how many
 */

/** @typedef {{ channel: string, title: string, members: string[] }} PrivateChannel as GET /admin/channels answers it */

/**
 * A live call, as GET /admin/calls answers it.
 * @typedef {object} AdminCall
 * @property {string} call_id
 * @property {string} channel
 * @property {string | null} title of a private channel
 * @property {LifecycleState} state
 * @property {number} started_ts
 * @property {number | null} answered_ts
 * @property {string | null} screenshare_user
 * @property {string[]} on_the_call
 * @property {string[]} still_ringing
 */

/**
 * A finished call, as GET /admin/history answers it.
 * @typedef {object} AdminPastCall
 * @property {string} call_id
 * @property {string} channel
 * @property {string | null} title of a private channel
 * @property {string} initiator
 * @property {string} outcome
 * @property {string | null} reason
 * @property {number | null} duration
 * @property {number} started_ts
 * @property {string[]} took_part
 */

/**
 * A setting, as GET /admin/settings answers it.
 * @typedef {object} Setting
 * @property {string} name
 * @property {number | string} value
 * @property {number | string} default
 * @property {"number" | "text" | "secret" | "JSON"} kind
 * @property {string} unit
 * @property {number} lowest
 * @property {number} highest
 * @property {string} meaning
 */

export {};
