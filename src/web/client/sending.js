// @ts-check
// How much video to send to each of the others. In a mesh everybody sends to everybody, so the number of people decides
// first, and what arrives second. Pure functions: `checks.js` applies them.

/**
 * What a picture may take.
 * @typedef {object} Step
 * @property {number} lines of its shorter side
 * @property {number} bits a second
 * @property {number} frames a second
 */

/** A camera, from the best picture to the smallest. @type {Step[]} */
export const CAMERA_STEPS = [
  { lines: 720, bits: 1_500_000, frames: 30 },
  { lines: 540, bits: 900_000, frames: 30 },
  { lines: 360, bits: 500_000, frames: 24 },
  { lines: 270, bits: 300_000, frames: 20 },
  { lines: 180, bits: 150_000, frames: 15 },
  { lines: 180, bits: 80_000, frames: 8 },
];

/** A screen keeps its size, since text must stay legible. @type {Step[]} */
export const SCREEN_STEPS = [
  { lines: Infinity, bits: 2_500_000, frames: 15 },
  { lines: Infinity, bits: 1_500_000, frames: 15 },
  { lines: Infinity, bits: 800_000, frames: 10 },
  { lines: Infinity, bits: 500_000, frames: 5 },
  { lines: Infinity, bits: 250_000, frames: 5 },
  { lines: Infinity, bits: 150_000, frames: 2 },
];

/** The step that calls of two, three, … people begin with; larger calls have the last. */
const STEP_BY_PEOPLE = [0, 1, 2, 3, 3, 3, 4];

/** @param {number} people on the call, this person included */
export const firstStep = (people) => STEP_BY_PEOPLE[Math.min(Math.max(people, 2) - 2, STEP_BY_PEOPLE.length - 1)];

/**
 * The step for a number of people, so many steps lowered.
 * @param {Step[]} steps
 * @param {number} people
 * @param {number} lowered
 */
export const stepFor = (steps, people, lowered) => steps[Math.min(firstStep(people) + lowered, steps.length - 1)];

/**
 * What the browser reports of the video that it sends to a person.
 * @typedef {object} Report
 * @property {number} loss the fraction of packets that were lost
 * @property {number | null} available bits a second that the network seems to carry; null if the browser does not say
 * @property {boolean} isCpuLimited
 */

/**
 * How far the video to a person is lowered, and the checks that count.
 * @typedef {object} Adaptation
 * @property {number} lowered steps
 * @property {number} bad checks in a row that show trouble
 * @property {number} good checks in a row that do not
 * @property {number} patience good checks before the next step up
 */

const PATIENCE = 5;
const PATIENCE_MAX = 40;

/** One bad check can be chance. */
const BAD_MAX = 2;

const LOWERED_MAX = CAMERA_STEPS.length - 1;

/** More lost packets, or less bandwidth as a fraction of what the step asks for, are trouble. */
const LOSS_MAX = 0.1;
const AVAILABLE_MIN = 0.4;

/** @type {Adaptation} */
export const UNLOWERED = { lowered: 0, bad: 0, good: 0, patience: PATIENCE };

/**
 * The adaptation after one more check: down after two bad checks, up after some good ones. Each step down doubles the wait
 * for the next step up, so that a limit is not tried again and again. A long good time forgets that.
 * @param {Adaptation} before
 * @param {Report} report
 * @param {number} bits a second that the present step asks for
 * @returns {Adaptation}
 */
export function adapt({ lowered, bad, good, patience }, { loss, available, isCpuLimited }, bits) {
  if (loss > LOSS_MAX || isCpuLimited || (available !== null && available < AVAILABLE_MIN * bits)) {
    return bad + 1 < BAD_MAX || lowered === LOWERED_MAX
      ? { lowered, bad: bad + 1, good: 0, patience }
      : { lowered: lowered + 1, bad: 0, good: 0, patience: Math.min(2 * patience, PATIENCE_MAX) };
  }
  if (lowered > 0 && good + 1 >= patience) {
    return { lowered: lowered - 1, bad: 0, good: 0, patience };
  }
  return { lowered, bad: 0, good: good + 1, patience: lowered === 0 && good >= PATIENCE_MAX ? PATIENCE : patience };
}

/**
 * How many pictures of others this side wants: everybody's up to eight people, and of larger calls the last speakers'.
 */
export const PICTURES_MAX = 7;

/**
 * Whose cameras this side wants: those who spoke last, and before anybody has spoken the first of the list.
 * @param {string[]} names
 * @param {Map<string, number>} spokeAt when each of them last spoke
 * @param {number} [most]
 * @returns {Set<string>}
 */
export function wantedCameras(names, spokeAt, most = PICTURES_MAX) {
  const byLastWord = [...names].sort((a, b) => (spokeAt.get(b) ?? 0) - (spokeAt.get(a) ?? 0));
  return new Set(byLastWord.slice(0, most));
}
