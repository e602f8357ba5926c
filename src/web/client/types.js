// @ts-check
// The JSON of the API and of the signals as types, for the type check. Nothing here runs.

/** @import { Api } from "./api.js" */
/** @import { Call } from "./call.js" */
/** @import { Names } from "./names.js" */
/** @import { Undo } from "./undo.js" */

/**
 * What the parts of a client share.
 * @typedef {object} Client
 * @property {Api} api
 * @property {Undo} undo departures by call id, and calls made without learning their id by channel
 * @property {Names} names
 * @property {Map<string, Call>} calls by id, including those being joined
 * @property {boolean} isGuest whether this person came by a link
 */

/** @typedef {"ringing" | "active" | "ended" | "rejected"} LifecycleState */

/** @typedef {"pending" | "accepted" | "rejected" | "left"} ParticipantState */

/**
 * @typedef {object} Participant
 * @property {string} username
 * @property {string} display_name
 * @property {"initiator" | "participant"} role
 * @property {ParticipantState} state
 * @property {number | null} joined_ts
 * @property {number | null} left_ts
 * @property {"declined" | "unanswered" | "busy" | "quiet" | null} [absence] why a person who was called is not on it
 */

/**
 * A call, as GET /calls/ID/state answers it. Times are seconds since the epoch.
 * @typedef {object} CallState
 * @property {string} call_id
 * @property {string} channel
 * @property {string} initiator
 * @property {LifecycleState} state
 * @property {number} started_ts
 * @property {number | null} answered_ts
 * @property {number | null} ended_ts
 * @property {string | null} ended_reason
 * @property {string | null} screenshare_user
 * @property {number} version grows with each change
 * @property {Participant[]} participants
 * @property {{ username: string, display_name: string }[]} [waiting] guests whom nobody has admitted yet
 * @property {boolean} [removed] I was removed: the event of it has no other participants
 */

/**
 * A call that rings for me.
 * @typedef {object} IncomingCall
 * @property {string} call_id
 * @property {string} channel
 * @property {string} initiator
 * @property {number} started_ts
 */

/**
 * A screen share outside a call.
 * @typedef {object} ShareState
 * @property {string} share_id
 * @property {string} channel
 * @property {string} sharer
 * @property {"active" | "ended"} state
 * @property {number} started_ts
 * @property {number | null} ended_ts
 */

/** @typedef {"offer" | "answer" | "ice_candidate"} SignalType */

/**
 * What this client adds to a payload. Another client may leave all of it out.
 * @typedef {object} PayloadMembers
 * @property {string} [session] the sender's connection
 * @property {string} [for] the recipient's connection, as far as the sender knows it
 * @property {StreamIds} [streams] in a description: which media stream is which
 * @property {PeerMessage} [message] in a candidate that is none: what else travels over the data channel
 */

/** @typedef {{ camera?: string, screen?: string }} StreamIds */

/** @typedef {PayloadMembers & RTCIceCandidateInit & { type?: RTCSdpType, sdp?: string }} Payload */

/**
 * @typedef {object} Signal
 * @property {number} id
 * @property {string} from
 * @property {SignalType} type
 * @property {Payload} payload
 * @property {number} ts
 */

/** @typedef {Signal & { call_id: string }} SignalEvent a signal with the call or share that it belongs to */

/**
 * @typedef {object} Snapshot
 * @property {IncomingCall[]} incoming
 * @property {CallState[]} calls
 * @property {ShareState[]} shares
 * @property {boolean} lost whether events are missing before it
 */

/** @typedef {"online" | "on-call" | "quiet" | "offline"} PresenceState */

/**
 * @typedef {object} Presences
 * @property {boolean} all whether these are all people who are not offline; otherwise they are those who have changed
 * @property {Record<string, PresenceState>} people by name
 */

/**
 * An event of GET /events.
 * @typedef {{ name: "snapshot", data: Snapshot } | { name: "incoming", data: IncomingCall }
 *   | { name: "call", data: CallState } | { name: "signal", data: SignalEvent }
 *   | { name: "share", data: ShareState } | { name: "presence", data: Presences }
 *   | { name: "directory", data: { within: number } }} ServerEvent
 */

/**
 * @typedef {object} Channel
 * @property {string} channel
 * @property {string | null} title
 * @property {string | null} [external_id] what a host application calls it: `ext:ID` names it
 * @property {string[]} members
 */

/**
 * What GET /me answers.
 * @typedef {object} Me
 * @property {string} username
 * @property {"admin" | "member" | "guest"} role
 * @property {number | null} quiet_until until when no call rings for me
 * @property {Record<string, string>} display_names what people see of each user
 * @property {Channel[]} channels
 * @property {string[]} people everybody else
 * @property {CallState[]} calls live calls of mine
 * @property {string[]} client_addresses the origins at which browsers reach the members of a cluster
 * @property {string | null} page_token for a page with a cookie: its token for these addresses
 */

/**
 * A link by which people without an account come to the calls of a channel, as GET /links answers it.
 * @typedef {object} GuestLink
 * @property {string} id
 * @property {string} channel
 * @property {string} created_by
 * @property {number} created_ts
 * @property {number} expires_ts
 * @property {number} uses_left
 * @property {boolean} admit whether guests wait
 */

/**
 * A link as POST /links answers it, the only time with its token.
 * @typedef {Pick<GuestLink, "id" | "channel" | "expires_ts"> & { token: string }} NewLink
 */

/**
 * A session of the caller, as GET /sessions answers it.
 * @typedef {object} Session
 * @property {string} id
 * @property {number} created_ts
 * @property {number} expires_ts
 * @property {boolean} [current] the one of the request
 */

/**
 * @typedef {object} MissedCall
 * @property {string} call_id
 * @property {string} channel
 * @property {string} initiator
 * @property {string} called_by
 * @property {number} missed_ts
 * @property {"unanswered" | "busy" | "quiet"} reason
 * @property {boolean} seen
 */

/**
 * A finished call, as GET /calls/history answers it.
 * @typedef {object} PastCall
 * @property {string} call_id
 * @property {string} channel
 * @property {string} initiator
 * @property {string} initiator_display_name
 * @property {string} outcome
 * @property {string | null} reason
 * @property {"unanswered" | "busy" | "quiet" | null} missed_reason why I missed it
 * @property {number | null} duration
 * @property {number} started_ts
 * @property {number | null} answered_ts
 * @property {number | null} ended_ts
 * @property {PastParticipant[]} participants who took part
 * @property {AbsentPerson[]} absent who was called and did not take part
 */

/**
 * @typedef {object} PastParticipant
 * @property {string} username
 * @property {string} display_name
 * @property {number} joined_ts
 * @property {number | null} left_ts
 * @property {number | null} seconds on the call, the last time; null if nobody answered
 */

/** @typedef {{ username: string, display_name: string, outcome: "missed" | "declined" }} AbsentPerson */

/**
 * What GET …/media answers.
 * @typedef {object} MediaAnswer
 * @property {string} mime_type
 * @property {string | null} init base64
 * @property {{ seq: number, data: string }[]} chunks base64
 * @property {boolean} [active] of a share: whether it still runs
 */

/** @typedef {"microphone" | "camera" | "screen" | "screenSound"} Role what a track shows or plays */

/** @typedef {"microphone" | "camera" | "screen"} CaptureKind */

/** @typedef {"microphone" | "camera" | "speaker"} DeviceKind */

/**
 * What clients send each other over the data channel.
 * @typedef {object} PeerMessage
 * @property {boolean} [muted]
 * @property {boolean} [camera]
 * @property {boolean} [hand] the sender has raised a hand
 * @property {string} [reaction]
 * @property {string} [text] a message of the call's chat
 * @property {Role[]} [wants] the video that the sender shows: "camera", "screen"; without it both
 * @property {boolean} [bye] the sender closes this connection
 * @property {boolean} [replaced] the recipient's person is now on the call from another page or device
 */

export {};
